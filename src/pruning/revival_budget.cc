#include "pruning/revival_budget.h"

#include <algorithm>
#include <cmath>

namespace lazyfill {
namespace {

// A row more in a layer takes as long as reading this share of the layer's weights, and of the columns that
// it sees: its products hide behind the reading only in part (measured on two cores, docs/performance.md).
constexpr double kRowWeights = 0.2;
constexpr double kRowColumns = 0.4;
// What of the columns that are not read is saved: those left are no longer read in one piece.
constexpr double kSaved = 0.8;
// What a choice takes for each of its candidates, beside reading the key once more.
constexpr double kChoiceBytes = 400;
// The share of a dense step that coming back may cost beyond what pruning saves.
constexpr double kOverdraft = 0.02;
// An answer begins with the time of so many dense steps, and no more is ever laid aside. Pruning half of
// 4,000 tokens saves the time of two hundred. Twelve lose no less, three lose more.
constexpr double kStepsAhead = 5;

}  // namespace

double RevivalBudget::row_bytes(size_t n_columns) const {
  return kRowWeights * bytes_.layer_weights + kRowColumns * static_cast<double>(n_columns) * bytes_.column;
}

size_t RevivalBudget::affordable(size_t layer, size_t n_columns, size_t n_rows) const {
  const double to_the_top = static_cast<double>(bytes_.n_layers - layer) * row_bytes(n_columns);
  const double n_affordable = std::max(std::floor(left_ / to_the_top), 0.0);
  return static_cast<size_t>(n_affordable) - std::min(n_rows, static_cast<size_t>(n_affordable));
}

void RevivalBudget::leave_layer(size_t n_seen, size_t n_dense, size_t n_rows) {
  earned_ += kSaved * static_cast<double>(n_dense - std::min(n_seen, n_dense)) * bytes_.column;
  n_dense_ += static_cast<double>(n_dense);
  left_ -= static_cast<double>(n_rows) * row_bytes(n_seen);
}

void RevivalBudget::choose(size_t n_candidates) {
  earned_ -= static_cast<double>(n_candidates) * (kChoiceBytes + bytes_.column / 2);
}

double RevivalBudget::end_step(bool is_prompt) const {
  const double dense = bytes_.weights + n_dense_ * bytes_.column;
  const double most = kStepsAhead * dense;
  return is_prompt ? most : std::min(left_ + earned_ + kOverdraft * dense, most);
}

}  // namespace lazyfill
