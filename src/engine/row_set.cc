#include "engine/row_set.h"

#include <algorithm>
#include <iterator>
#include <tuple>
#include <utility>

#include "model/rope_angles.h"

namespace lazyfill {
namespace {

bool comes_before(const RowSet::Row& a, const RowSet::Row& b) {
  return std::tie(a.sequence, a.token) < std::tie(b.sequence, b.token);
}

// Room for n rows more of `width`, keeping what is there.
void grow(Buffer<float>& values, size_t n_rows, size_t n_more, size_t width) {
  if ((n_rows + n_more) * width <= values.size()) return;
  Buffer<float> wider((n_rows + n_more) * width);
  std::copy_n(values.data(), n_rows * width, wider.data());
  std::swap(wider, values);
}

// Rows of `width` floats go between the n_rows that are there, so that `places` (ascending) are theirs. From
// the back, so that each row moves once.
void insert_rows(float* values, size_t n_rows, size_t width, const float* inserted,
                 std::span<const size_t> places) {
  size_t n_left = places.size();
  for (size_t row = n_rows + places.size(); n_left > 0;) {
    const bool is_inserted = places[n_left - 1] == --row;
    const float* source = is_inserted ? inserted + --n_left * width : values + --n_rows * width;
    std::copy_n(source, width, values + row * width);
  }
}

}  // namespace

RowSet::RowSet(const ModelConfig& config, size_t n_sequences)
    : config_(config),
      d_model_(config.d_model),
      q_dim_(config.q_dim()),
      body_(n_sequences),
      top_(n_sequences),
      angles_(config.ropes.size()) {}

void RowSet::assign(std::span<const Row> body, std::span<const Row> top) {
  rows_.assign(body.begin(), body.end());
  rows_.insert(rows_.end(), top.begin(), top.end());
  n_body_ = body.size();
  hidden_.ensure(rows_.size() * d_model_);
  q_.ensure(rows_.size() * q_dim_);
  find_ranges();
  find_angles(config_);
}

void RowSet::find_angles(const ModelConfig& config) {
  for (size_t i = 0; i < angles_.size(); ++i) {
    angles_[i].ensure(rows_.size() * config.rope_dim);
    float* to = angles_[i].data();
    for (const Row& row : rows_) {
      rope_angles(config.ropes[i], {&row.position, 1}, row.context_tokens, to);
      to += config.rope_dim;
    }
  }
}

void RowSet::find_ranges() {
  for (size_t s = 0; s < body_.size(); ++s) body_[s] = top_[s] = {};
  of_prompt_.clear();
  for (const Row& row : rows_) of_prompt_.push_back(row.of_prompt ? 1 : 0);
  for (size_t row = 0; row < rows_.size(); ++row) {
    RowRange& range = (row < n_body_ ? body_ : top_)[rows_[row].sequence];
    if (range.size() == 0) range.begin = row;
    range.end = row + 1;
  }
}

std::vector<TokenIndex> RowSet::tokens_of(size_t sequence) const {
  std::vector<TokenIndex> tokens(n_of(sequence));
  for (size_t i = 0; i < tokens.size(); ++i) tokens[i] = rows_[row_of(sequence, i)].token;
  return tokens;
}

std::vector<RowSet::Carried> RowSet::carried() {
  std::vector<Carried> all = {{&hidden_, d_model_}, {&q_, q_dim_}};
  for (Buffer<float>& angles : angles_) all.push_back({&angles, config_.rope_dim});
  return all;
}

void RowSet::keep(std::span<const uint8_t> stays) {
  const std::vector<Carried> all = carried();
  size_t n_stay = 0;
  size_t n_body = 0;
  for (size_t row = 0; row < rows_.size(); ++row) {
    if (stays[row] == 0) continue;
    if (row < n_body_) ++n_body;
    if (n_stay != row) {
      for (const auto& [values, width] : all)
        std::copy_n(values->data() + row * width, width, values->data() + n_stay * width);
    }
    rows_[n_stay++] = rows_[row];
  }
  rows_.resize(n_stay);
  n_body_ = n_body;
  find_ranges();
}

void RowSet::insert(RowSet& others) {
  if (others.size() == 0) return;
  const size_t n = rows_.size();
  const auto body_end = rows_.begin() + static_cast<std::ptrdiff_t>(n_body_);
  std::vector<size_t> places;
  places.reserve(others.size());
  for (const Row& row : others.rows_) {
    const auto above = std::lower_bound(rows_.begin(), body_end, row, comes_before);
    places.push_back(static_cast<size_t>(above - rows_.begin()) + places.size());
  }
  const std::vector<Carried> here = carried();
  const std::vector<Carried> there = others.carried();
  for (const auto& [values, width] : here) grow(*values, n, places.size(), width);
  for (size_t i = 0; i < here.size(); ++i)
    insert_rows(here[i].values->data(), n, here[i].width, there[i].values->data(), places);
  std::vector<Row> all;
  all.reserve(n + others.size());
  std::merge(rows_.begin(), body_end, others.rows_.begin(), others.rows_.end(), std::back_inserter(all),
             comes_before);
  all.insert(all.end(), body_end, rows_.end());
  rows_ = std::move(all);
  n_body_ += others.size();
  find_ranges();
}

}  // namespace lazyfill
