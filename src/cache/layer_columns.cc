#include "cache/layer_columns.h"

#include <algorithm>
#include <cassert>
#include <cstring>

namespace lazyfill {

LayerColumns::LayerColumns(ColumnType type, size_t n_kv_heads, size_t head_dim, size_t capacity)
    : type_(type),
      n_kv_heads_(n_kv_heads),
      head_bytes_(column_bytes(type, head_dim)),
      capacity_(capacity),
      keys_(n_kv_heads * capacity * head_bytes_),
      values_(n_kv_heads * capacity * head_bytes_),
      slot_after_(capacity) {}

int32_t LayerColumns::append(std::span<const int32_t> positions) {
  const auto first = static_cast<int32_t>(position_of_.size());
  assert(position_of_.size() + positions.size() <= capacity_);
  for (int32_t position : positions) {
    assert(!has(position));
    position_of_.push_back(position);
    slot_after_[static_cast<size_t>(position)] = static_cast<int32_t>(position_of_.size());
  }
  return first;
}

ColumnList LayerColumns::list(std::span<const int32_t> positions, std::vector<int32_t>& slots) const {
  if (positions.empty()) return {};
  const int32_t first = slot_of(positions[0]);
  const auto here = position_of_.begin() + first;
  const bool is_range = positions.size() <= static_cast<size_t>(position_of_.end() - here) &&
                        std::equal(positions.begin(), positions.end(), here);
  if (is_range) return {nullptr, first, positions.size()};
  slots.resize(positions.size());
  for (size_t i = 0; i < positions.size(); ++i) slots[i] = slot_of(positions[i]);
  return {slots.data(), first, positions.size()};
}

void LayerColumns::drop_newest(size_t n_columns) {
  while (position_of_.size() > n_columns) {
    slot_after_[static_cast<size_t>(position_of_.back())] = 0;
    position_of_.pop_back();
  }
}

void LayerColumns::truncate(int32_t end_position) {
  keep_where([end_position](int32_t position) { return position < end_position; });
}

void LayerColumns::keep_only(std::span<const int32_t> positions) {
  keep_where([positions](int32_t position) {
    return std::binary_search(positions.begin(), positions.end(), position);
  });
}

template <class Stays>
void LayerColumns::keep_where(Stays stays) {
  size_t n_kept = 0;
  for (size_t slot = 0; slot < position_of_.size(); ++slot) {
    const int32_t position = position_of_[slot];
    if (!stays(position)) {
      slot_after_[static_cast<size_t>(position)] = 0;
      continue;
    }
    if (n_kept != slot) move_column(slot, n_kept);
    position_of_[n_kept] = position;
    slot_after_[static_cast<size_t>(position)] = static_cast<int32_t>(++n_kept);
  }
  position_of_.resize(n_kept);
}

void LayerColumns::move_column(size_t from, size_t to) {
  for (size_t head = 0; head < n_kv_heads_; ++head) {
    const size_t base = head * capacity_;
    std::memcpy(&keys_[(base + to) * head_bytes_], &keys_[(base + from) * head_bytes_], head_bytes_);
    std::memcpy(&values_[(base + to) * head_bytes_], &values_[(base + from) * head_bytes_], head_bytes_);
  }
}

}  // namespace lazyfill
