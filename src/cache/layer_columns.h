// The columns of one layer of one sequence: keys and values in the order of computing, and which token each
// slot holds. After pruning, what later layers hold is dense in memory and prefill needs no gather.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/buffer.h"
#include "cache/token_ring.h"
#include "kernels/kernels.h"

namespace lazyfill {

class LayerColumns {
 public:
  // Reserves address space for ring.n_places() columns; memory is taken as columns are written.
  LayerColumns(ColumnType type, size_t n_kv_heads, size_t head_dim, TokenRing ring);

  // Gives each token a slot and returns them: a range behind the last one, or, where that is full, places of
  // forgotten columns, kept in `slots`. No token may have a column already: it is computed at most once in a
  // layer. There is room for as many columns as places.
  ColumnList append(std::span<const TokenIndex> tokens, std::vector<int32_t>& slots);

  bool has(TokenIndex token) const { return slot_of(token) >= 0; }
  // -1: it has no column.
  int32_t slot_of(TokenIndex token) const {
    const int32_t slot = slot_after_[ring_.place_of(token)] - 1;
    return slot >= 0 && token_of_[static_cast<size_t>(slot)] == token ? slot : -1;
  }
  size_t n_columns() const { return token_of_.size() - free_.size(); }

  // The columns of the given tokens (ascending, all present): a range where they lie side by side in memory,
  // else the slots, kept in `slots`.
  ColumnList list(std::span<const TokenIndex> tokens, std::vector<int32_t>& slots) const;

  // Remembers what is there, for undo(mark): what was appended since is forgotten. Marks count until
  // forget(), truncate() or clear_marks().
  size_t mark() const { return added_.size(); }
  void undo(size_t mark);
  void clear_marks() { added_.clear(); }
  // Of the tokens from first_new on, appended since the mark, those of first_new + kept[i] (kept ascending)
  // become those of first_new + i and the others leave. Tokens before first_new stay.
  void keep_new(size_t mark, TokenIndex first_new, std::span<const size_t> kept);

  // Forgets the columns of the tokens [begin, end). Their slots are used again; nothing moves. Takes no
  // memory where it was reserved.
  void forget(TokenIndex begin, TokenIndex end);
  void reserve_forgetting(size_t n_tokens) { free_.reserve(free_.size() + n_tokens); }
  // Forgets every column but those of these tokens (ascending, all present), which move together.
  void keep_only(std::span<const TokenIndex> tokens);
  // Forgets every column of a token from `end` on, wherever it lies; the others move together.
  void truncate(TokenIndex end);

  // The columns of these tokens (ascending, all present) to `to` [2 (keys, values), n_kv_heads, tokens, bytes
  // of a head], and from there: tokens without columns get them.
  void copy_out(std::span<const TokenIndex> tokens, std::byte* to) const;
  void copy_in(std::span<const TokenIndex> tokens, const std::byte* from);
  // Of what copy_out() wrote for n_all tokens only those from `first` on, as many as are given.
  void copy_in(std::span<const TokenIndex> tokens, const std::byte* from, size_t first, size_t n_all);
  // [tokens from begin to end] that have a column, ascending.
  std::vector<TokenIndex> tokens_in(TokenIndex begin, TokenIndex end) const;

  ColumnType type() const { return type_; }
  std::byte* keys() { return keys_.data(); }
  std::byte* values() { return values_.data(); }
  size_t capacity() const { return ring_.n_places(); }
  size_t bytes_per_column() const { return 2 * n_kv_heads_ * head_bytes_; }

 private:
  static constexpr TokenIndex kFree = -1;

  void put(TokenIndex token, int32_t slot);
  void free_slot(int32_t slot);
  void drop_slot(int32_t slot);
  template <class Stays>
  void keep_where(Stays stays);
  void move_column(size_t from, size_t to);

  ColumnType type_;
  size_t n_kv_heads_;
  size_t head_bytes_;  // of one key (or value) of one head
  TokenRing ring_;
  Buffer<std::byte> keys_;            // [n_kv_heads, capacity, head_dim]
  Buffer<std::byte> values_;          // [n_kv_heads, capacity, head_dim]
  std::vector<TokenIndex> token_of_;  // by slot; kFree: it has none
  std::vector<int32_t> free_;         // slots without a token
  std::vector<int32_t> added_;        // slots appended since the marks were cleared
  Buffer<int32_t> slot_after_;        // [places] the slot plus 1; 0, as pages come: no column
};

}  // namespace lazyfill
