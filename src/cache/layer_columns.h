// The columns of one layer of one sequence: keys and values in the order of computing, and which position
// each slot holds. After pruning, what later layers hold is dense in memory and prefill needs no gather.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/buffer.h"
#include "kernels/kernels.h"

namespace lazyfill {

class LayerColumns {
 public:
  // Reserves address space for `capacity` columns; memory is taken as columns are written.
  LayerColumns(ColumnType type, size_t n_kv_heads, size_t head_dim, size_t capacity);

  // Gives each position a slot, in order, behind the last one, and returns the first slot. No position may
  // have a column already: a token is computed at most once in a layer.
  int32_t append(std::span<const int32_t> positions);

  bool has(int32_t position) const { return slot_of(position) >= 0; }
  int32_t slot_of(int32_t position) const { return slot_after_[static_cast<size_t>(position)] - 1; }
  size_t n_columns() const { return position_of_.size(); }

  // The columns at the given positions (ascending, all present): a range where they lie side by side in
  // memory, else the slots, kept in `slots`.
  ColumnList list(std::span<const int32_t> positions, std::vector<int32_t>& slots) const;

  // Forgets the columns in slots from n_columns on: undoes the latest appends.
  void drop_newest(size_t n_columns);
  // Forgets every column but those at these positions (ascending, all present), which move together.
  void keep_only(std::span<const int32_t> positions);
  // Forgets every column at or behind a position, wherever it lies.
  void truncate(int32_t end_position);

  ColumnType type() const { return type_; }
  std::byte* keys() { return keys_.data(); }
  std::byte* values() { return values_.data(); }
  size_t capacity() const { return capacity_; }
  size_t bytes_per_column() const { return 2 * n_kv_heads_ * head_bytes_; }

 private:
  template <class Stays>
  void keep_where(Stays stays);
  void move_column(size_t from, size_t to);

  ColumnType type_;
  size_t n_kv_heads_;
  size_t head_bytes_;  // of one key (or value) of one head
  size_t capacity_;
  Buffer<std::byte> keys_;            // [n_kv_heads, capacity, head_dim]
  Buffer<std::byte> values_;          // [n_kv_heads, capacity, head_dim]
  std::vector<int32_t> position_of_;  // [n_columns]
  Buffer<int32_t> slot_after_;        // [capacity] by position: the slot plus 1; 0, as pages come: no column
};

}  // namespace lazyfill
