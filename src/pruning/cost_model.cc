#include "pruning/cost_model.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <utility>

#include "kernels/sparse_attention.h"
#include "pruning/schedule.h"

namespace lazyfill {
namespace {

constexpr size_t kParts = 3;
using Parts = std::array<double, kParts>;

// What queries, keys and values are of a row's work in the linear layers: 16% in SmolLM2 135M, 18% in Gemma 3
// 270M, 10% in Llama 3.2 1B, 7% in Qwen2.5 7B.
constexpr double kProjectionShare = 0.15;

// Columns that n rows in a row see together when each sees itself and those before it, at most `window`.
double seen_columns(double n, size_t window) {
  const auto w = static_cast<double>(window);
  if (window == 0 || n <= w) return n * (n + 1) / 2;
  return w * (w + 1) / 2 + (n - w) * w;
}

// Of a layer's last rows these are dense in any case, 64 to 160 of them.
constexpr double kDenseLastRows = 112;

// Of the pairs of n rows in a row, each seeing itself and all before it, those that sparse attention may
// leave out.
double sparse_columns(double n) {
  const auto first = static_cast<double>(kSparseMinColumns);
  const double last = n - kDenseLastRows;
  return last <= first ? 0 : seen_columns(last, 0) - seen_columns(first, 0);
}

Parts parts_of(const TimedPrefill& prefill) {
  return {1, prefill.work.row_layers, prefill.work.row_columns};
}

// Solves the normal equations for the parts in `subset` (a bit a part) by elimination; the others are zero.
std::optional<Parts> solve(const std::array<Parts, kParts>& matrix, const Parts& right, unsigned subset) {
  std::array<Parts, kParts> a = matrix;
  Parts b = right;
  for (size_t i = 0; i < kParts; ++i) {
    if ((subset >> i & 1U) != 0) continue;
    for (size_t j = 0; j < kParts; ++j) a[i][j] = a[j][i] = 0;
    a[i][i] = 1;
    b[i] = 0;
  }
  for (size_t i = 0; i < kParts; ++i) {
    size_t pivot = i;
    for (size_t row = i + 1; row < kParts; ++row) {
      if (std::abs(a[row][i]) > std::abs(a[pivot][i])) pivot = row;
    }
    if (std::abs(a[pivot][i]) < 1e-12) return std::nullopt;
    std::swap(a[i], a[pivot]);
    std::swap(b[i], b[pivot]);
    for (size_t row = 0; row < kParts; ++row) {
      if (row == i) continue;
      const double factor = a[row][i] / a[i][i];
      for (size_t j = i; j < kParts; ++j) a[row][j] -= factor * a[i][j];
      b[row] -= factor * b[i];
    }
  }
  Parts x;
  for (size_t i = 0; i < kParts; ++i) x[i] = b[i] / a[i][i];
  return x;
}

double clamped(double share) {
  return std::isfinite(share) ? std::clamp(share, 0.0, 1.0) : 0;
}

}  // namespace

double CostModel::saved_share(double attention_mass) const {
  for (const SparseSaving& saving : savings) {
    if (saving.attention_mass == attention_mass) return saving.share;
  }
  return 0;
}

double CostModel::predict_ms(const PrefillWork& work, double attention_mass) const {
  const double left_out = work.sparse_row_columns + thinned * work.thinned_row_columns;
  return fixed_ms + row_layer_ms * work.row_layers +
         row_column_ms * (work.row_columns - saved_share(attention_mass) * left_out);
}

PrefillWork prefill_work(size_t n_tokens, std::span<const ScheduleStage> schedule,
                         std::span<const size_t> layer_windows) {
  PrefillWork work;
  size_t n_rows = n_tokens;
  for (size_t layer = 0; layer + 1 < layer_windows.size(); ++layer) {
    size_t n_kept = n_rows;
    for (const ScheduleStage& stage : schedule) {
      if (stage.layer == layer) n_kept = kept_count(stage, n_rows);
    }
    const auto entering = static_cast<double>(n_rows);
    const auto kept = static_cast<double>(n_kept);
    work.row_layers += kept + kProjectionShare * (entering - kept);
    // Those who stay see what entered; a choice favours no position.
    work.row_columns += seen_columns(entering, layer_windows[layer]) * kept / entering;
    if (layer_windows[layer] == 0) {
      (n_rows == n_tokens ? work.sparse_row_columns : work.thinned_row_columns) +=
          sparse_columns(entering) * kept / entering;
    }
    n_rows = n_kept;
  }
  return work;
}

Result<CostModel> fit_cost_model(std::span<const TimedPrefill> prefills) {
  if (prefills.size() < kParts)
    return fail(ErrorCode::kInvalidArgument, "the cost of a prefill takes three measurements at least");
  // Scaled so that each part is about 1 where it is largest: the equations stay well conditioned.
  Parts scale = {1, 0, 0};
  for (const TimedPrefill& prefill : prefills) {
    if (!(prefill.ms > 0)) return fail(ErrorCode::kInvalidArgument, "a measured prefill took no time");
    const Parts parts = parts_of(prefill);
    for (size_t i = 0; i < kParts; ++i) scale[i] = std::max(scale[i], parts[i]);
  }
  std::array<Parts, kParts> matrix{};
  Parts right{};
  for (const TimedPrefill& prefill : prefills) {
    Parts row = parts_of(prefill);
    for (size_t i = 0; i < kParts; ++i) row[i] = scale[i] > 0 ? row[i] / scale[i] / prefill.ms : 0;
    for (size_t i = 0; i < kParts; ++i) {
      for (size_t j = 0; j < kParts; ++j) matrix[i][j] += row[i] * row[j];
      right[i] += row[i];
    }
  }
  // With three parts the best solution without a negative part is found by trying every subset of them.
  std::optional<CostModel> best;
  double least_error = 0;
  for (unsigned subset = 1; subset < 1U << kParts; ++subset) {
    auto parts = solve(matrix, right, subset);
    if (!parts || std::any_of(parts->begin(), parts->end(), [](double part) { return part < 0; })) continue;
    for (size_t i = 0; i < kParts; ++i) (*parts)[i] /= scale[i] > 0 ? scale[i] : 1;
    const CostModel model{(*parts)[0], (*parts)[1], (*parts)[2], {}, 1};
    double error = 0;
    for (const TimedPrefill& prefill : prefills)
      error += std::pow(model.predict_ms(prefill.work) / prefill.ms - 1, 2);
    if (!best || error < least_error) {
      best = model;
      least_error = error;
    }
  }
  if (!best) return fail(ErrorCode::kInvalidArgument, "the measured prefills are all of no work");
  return *best;
}

double fit_saved_share(const CostModel& model, const TimedPrefill& dense, double sparse_ms) {
  const double saved_ms = (1 - sparse_ms / dense.ms) * model.predict_ms(dense.work);
  return clamped(saved_ms / (model.row_column_ms * dense.work.sparse_row_columns));
}

double fit_thinned(const CostModel& model, const TimedPrefill& pruned, double attention_mass,
                   double sparse_ms) {
  const double saved_ms = (1 - sparse_ms / pruned.ms) * model.predict_ms(pruned.work);
  const double left_out = saved_ms / (model.row_column_ms * model.saved_share(attention_mass));
  return clamped((left_out - pruned.work.sparse_row_columns) / pruned.work.thinned_row_columns);
}

}  // namespace lazyfill
