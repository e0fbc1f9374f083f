#include "engine/visibility.h"

#include <algorithm>

namespace lazyfill {

void Visibility::enter(LayerColumns& columns, std::span<const TokenIndex> rows,
                       std::span<const TokenIndex> candidates, bool exact) {
  columns_ = &columns;
  new_ = columns.append(rows, new_slots_);
  list_ = columns.list(candidates, slots_);
  const bool sees_only_itself = candidates.size() == rows.size() && parents_.empty();
  exact_rows_ = exact && sees_only_itself && columns.type() != ColumnType::kF32 ? rows.size() : 0;
  if (!is_exact()) return;
  exact_.ensure(2 * exact_rows_ * config_.kv_dim());
  list_ = {nullptr, 0, exact_rows_};
}

ColumnsView Visibility::seen() const {
  if (is_exact()) {
    const auto* keys = reinterpret_cast<const std::byte*>(exact_.data());
    const auto* values = reinterpret_cast<const std::byte*>(exact_.data() + exact_rows_ * config_.kv_dim());
    return {ColumnType::kF32, keys, values, exact_rows_};
  }
  return {columns_->type(), columns_->keys(), columns_->values(), columns_->capacity()};
}

void Visibility::find_ranges(const RowSet& rows, size_t sequence, std::span<const TokenIndex> candidates,
                             size_t window) {
  ranges_.resize(rows.n_of(sequence));
  n_plain_ = ranges_.size();
  sink_ranges_.clear();
  uint32_t begin = 0;
  uint32_t end = 0;
  const auto first_above = [&](TokenIndex token, uint32_t from) {
    const auto at = std::upper_bound(candidates.begin() + from, candidates.end(), token);
    return static_cast<uint32_t>(at - candidates.begin());
  };
  for (size_t i = 0; i < ranges_.size(); ++i) {
    const TokenIndex token = rows.rows()[rows.row_of(sequence, i)].token;
    end = first_above(token, end);
    const bool is_apart = stream_.is_apart(token);
    const size_t newest = is_apart && (window == 0 || window > stream_.window) ? stream_.window : window;
    if (newest > 0) begin = first_above(token - static_cast<TokenIndex>(newest), begin);
    ranges_[i] = {begin, end};
    if (!is_apart) continue;
    n_plain_ = std::min(n_plain_, i);
    // A layer's window reaches as far back as it does from the row's place.
    const TokenIndex beyond = window > 0 ? stream_.place_apart() - static_cast<TokenIndex>(window) : -1;
    const uint32_t sinks_end = first_above(static_cast<TokenIndex>(stream_.n_sinks) - 1, 0);
    sink_ranges_.push_back({std::min(first_above(beyond, 0), sinks_end), sinks_end});
  }
  if (!parents_.empty()) find_branches(rows, sequence, candidates, window);
}

void Visibility::find_branches(const RowSet& rows, size_t sequence, std::span<const TokenIndex> candidates,
                               size_t window) {
  branches_.assign(ranges_.size(), {});
  branch_ranges_.assign(ranges_.size(), {});
  for (size_t i = 0; i < ranges_.size(); ++i) {
    const RowSet::Row& row = rows.rows()[rows.row_of(sequence, i)];
    if (row.token < first_new_) continue;
    std::vector<int32_t>& slots = branches_[i];
    // Of the context what is within the window of the row's position, which is not its index.
    const TokenIndex oldest = window > 0 ? row.position - static_cast<TokenIndex>(window) + 1 : 0;
    for (TokenIndex token : candidates) {
      if (token >= first_new_) break;
      if (token >= oldest) slots.push_back(columns_->slot_of(token));
    }
    const size_t n_context = slots.size();
    int32_t position = row.position;
    for (int32_t at = row.token - first_new_; at >= 0; at = parents_[static_cast<size_t>(at)], --position) {
      if (position >= oldest) slots.push_back(columns_->slot_of(first_new_ + at));
    }
    std::reverse(slots.begin() + static_cast<std::ptrdiff_t>(n_context), slots.end());
    branch_ranges_[i] = {0, static_cast<uint32_t>(slots.size())};
  }
}

void Visibility::add_columns(RowRange rows, size_t first, std::vector<NewColumns>& all) const {
  if (rows.size() == 0) return;
  NewColumns to;
  to.row_begin = rows.begin;
  to.row_end = rows.end;
  to.type = columns_->type();
  to.keys = columns_->keys();
  to.values = columns_->values();
  to.capacity = columns_->capacity();
  if (new_.slots != nullptr) {
    to.slots = new_.slots + first;
  } else {
    to.first_slot = new_.first + static_cast<int32_t>(first);
  }
  if (is_exact()) {
    auto* keys = const_cast<float*>(exact_.data());
    to.exact_keys = reinterpret_cast<std::byte*>(keys);
    to.exact_values = reinterpret_cast<std::byte*>(keys + exact_rows_ * config_.kv_dim());
    to.exact_capacity = exact_rows_;
    to.exact_first = first;
  }
  all.push_back(to);
}

void Visibility::add_views(RowRange rows, size_t first, const ViewOptions& options, std::vector<View>& all) {
  if (rows.size() == 0) return;
  // Pieces are pointed to: room for all that may come, so that none moves.
  if (first == 0) pieces_.clear();
  pieces_.reserve(ranges_.size() + 6);
  const size_t cut = rows.begin + std::clamp(n_plain_, first, first + rows.size()) - first;
  add_view({rows.begin, cut}, first, options, all);
  add_view({cut, rows.end}, first + cut - rows.begin, options, all);
}

// Of rows that all stand apart, or of which none does.
void Visibility::add_view(RowRange rows, size_t first, const ViewOptions& options, std::vector<View>& all) {
  if (rows.size() == 0) return;
  View view;
  view.row_begin = rows.begin;
  view.row_end = rows.end;
  view.first_output = options.first_output;
  view.form = options.is_top ? RowForm::kAlone : form_of_rows(rows.size());
  view.attention_mass = options.attention_mass;
  view.pairs = options.pairs;
  view.rows_behind = ranges_.size() - first - rows.size();
  view.packed = &packed_;
  if (!options.is_top || branches_.empty()) {
    pieces_.push_back({seen(), list_, ranges_.data() + first});
    const Piece* newest = &pieces_.back();
    const bool has_sinks = first >= n_plain_ && stream_.n_sinks > 0;
    if (has_sinks) {
      const size_t i = first - n_plain_;
      const float* q = options.sink_q != nullptr ? options.sink_q + i * config_.q_dim() : nullptr;
      pieces_.push_back({seen(), list_, sink_ranges_.data() + i, q});
    }
    view.pieces = {newest, has_sinks ? size_t{2} : size_t{1}};
    all.push_back(view);
    return;
  }
  for (size_t i = 0; i < rows.size(); ++i) {
    const std::vector<int32_t>& slots = branches_[first + i];
    pieces_.push_back({seen(), {slots.data(), 0, slots.size()}, &branch_ranges_[first + i]});
    view.row_begin = rows.begin + i;
    view.row_end = view.row_begin + 1;
    view.first_output = std::max(options.first_output, view.row_begin);
    view.rows_behind = ranges_.size() - first - i - 1;
    view.pieces = {&pieces_.back(), 1};
    all.push_back(view);
  }
}

}  // namespace lazyfill
