#include "cache/layer_columns.h"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <iterator>

namespace lazyfill {

LayerColumns::LayerColumns(ColumnType type, size_t n_kv_heads, size_t head_dim, TokenRing ring)
    : type_(type),
      n_kv_heads_(n_kv_heads),
      head_bytes_(column_bytes(type, head_dim)),
      ring_(ring),
      keys_(n_kv_heads * ring.n_places() * head_bytes_),
      values_(n_kv_heads * ring.n_places() * head_bytes_),
      slot_after_(ring.n_places()) {}

void LayerColumns::put(TokenIndex token, int32_t slot) {
  assert(!has(token));
  token_of_[static_cast<size_t>(slot)] = token;
  slot_after_[ring_.place_of(token)] = slot + 1;
  added_.push_back(slot);
}

ColumnList LayerColumns::append(std::span<const TokenIndex> tokens, std::vector<int32_t>& slots) {
  const size_t first = token_of_.size();
  const bool fits_behind = first + tokens.size() <= capacity();
  assert(n_columns() + tokens.size() <= capacity());
  // Memory first: what throws here has changed nothing, and undoing takes none.
  added_.reserve(added_.size() + tokens.size());
  free_.reserve(free_.size() + added_.size() + tokens.size());
  if (fits_behind) {
    token_of_.resize(first + tokens.size(), kFree);
    for (size_t i = 0; i < tokens.size(); ++i) put(tokens[i], static_cast<int32_t>(first + i));
    return {nullptr, static_cast<int32_t>(first), tokens.size()};
  }
  slots.resize(tokens.size());
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (free_.empty()) {
      token_of_.push_back(kFree);
      slots[i] = static_cast<int32_t>(token_of_.size() - 1);
    } else {
      slots[i] = free_.back();
      free_.pop_back();
    }
    put(tokens[i], slots[i]);
  }
  return {slots.data(), 0, slots.size()};
}

ColumnList LayerColumns::list(std::span<const TokenIndex> tokens, std::vector<int32_t>& slots) const {
  if (tokens.empty()) return {};
  const int32_t first = slot_of(tokens[0]);
  const auto here = token_of_.begin() + first;
  const bool is_range = tokens.size() <= static_cast<size_t>(token_of_.end() - here) &&
                        std::equal(tokens.begin(), tokens.end(), here);
  if (is_range) return {nullptr, first, tokens.size()};
  slots.resize(tokens.size());
  for (size_t i = 0; i < tokens.size(); ++i) slots[i] = slot_of(tokens[i]);
  return {slots.data(), first, tokens.size()};
}

void LayerColumns::free_slot(int32_t slot) {
  TokenIndex& token = token_of_[static_cast<size_t>(slot)];
  slot_after_[ring_.place_of(token)] = 0;
  token = kFree;
  free_.push_back(slot);
}

void LayerColumns::drop_slot(int32_t slot) {
  free_slot(slot);
  if (static_cast<size_t>(slot) + 1 != token_of_.size()) return;
  token_of_.pop_back();
  free_.pop_back();
}

void LayerColumns::undo(size_t mark) {
  while (added_.size() > mark) {
    drop_slot(added_.back());
    added_.pop_back();
  }
}

void LayerColumns::keep_new(size_t mark, TokenIndex first_new, std::span<const size_t> kept) {
  // Slots of the new tokens, ascending by token, as they were appended; others came back in this step.
  const auto is_new = [&](int32_t slot) { return token_of_[static_cast<size_t>(slot)] >= first_new; };
  const auto begin = added_.begin() + static_cast<std::ptrdiff_t>(mark);
  const auto first = std::stable_partition(begin, added_.end(), [&](int32_t slot) { return !is_new(slot); });
  auto to = first;
  for (auto at = first; at != added_.end(); ++at) {
    const TokenIndex token = token_of_[static_cast<size_t>(*at)];
    const auto offset = static_cast<size_t>(token - first_new);
    const auto place = std::lower_bound(kept.begin(), kept.end(), offset);
    if (place == kept.end() || *place != offset) continue;
    if (to != at) {
      // The token that had this slot before it has left, or moved on.
      move_column(static_cast<size_t>(*at), static_cast<size_t>(*to));
      slot_after_[ring_.place_of(token_of_[static_cast<size_t>(*to)])] = 0;
    }
    slot_after_[ring_.place_of(token)] = 0;
    const TokenIndex renamed = first_new + static_cast<TokenIndex>(place - kept.begin());
    token_of_[static_cast<size_t>(*to)] = renamed;
    slot_after_[ring_.place_of(renamed)] = *to + 1;
    ++to;
  }
  for (auto at = added_.end(); at != to;) drop_slot(*--at);
  added_.erase(to, added_.end());
}

void LayerColumns::forget(TokenIndex begin, TokenIndex end) {
  clear_marks();
  for (TokenIndex token = begin; token < end; ++token) {
    const int32_t slot = slot_of(token);
    if (slot >= 0) free_slot(slot);
  }
}

void LayerColumns::truncate(TokenIndex end) {
  clear_marks();
  keep_where([end](TokenIndex token) { return token < end; });
}

void LayerColumns::keep_only(std::span<const TokenIndex> tokens) {
  std::vector<TokenIndex> added;  // of this step, which may still be undone
  for (int32_t slot : added_) added.push_back(token_of_[static_cast<size_t>(slot)]);
  keep_where([tokens](TokenIndex token) { return std::binary_search(tokens.begin(), tokens.end(), token); });
  added_.clear();
  for (TokenIndex token : added) {
    if (has(token)) added_.push_back(slot_of(token));
  }
}

template <class Stays>
void LayerColumns::keep_where(Stays stays) {
  size_t n_kept = 0;
  for (size_t slot = 0; slot < token_of_.size(); ++slot) {
    const TokenIndex token = token_of_[slot];
    if (token == kFree) continue;
    if (!stays(token)) {
      slot_after_[ring_.place_of(token)] = 0;
      continue;
    }
    if (n_kept != slot) move_column(slot, n_kept);
    token_of_[n_kept] = token;
    slot_after_[ring_.place_of(token)] = static_cast<int32_t>(++n_kept);
  }
  token_of_.resize(n_kept);
  free_.clear();
}

std::vector<TokenIndex> LayerColumns::tokens_in(TokenIndex begin, TokenIndex end) const {
  std::vector<TokenIndex> tokens;
  for (TokenIndex token = begin; token < end; ++token) {
    if (has(token)) tokens.push_back(token);
  }
  return tokens;
}

namespace {

// Calls fn(first, n) for the runs of places whose slots lie side by side.
template <class Fn>
void for_each_run(const ColumnList& list, Fn fn) {
  for (size_t at = 0; at < list.n;) {
    size_t end = list.slots == nullptr ? list.n : at + 1;
    while (end < list.n && list.slots[end] == list.slots[end - 1] + 1) ++end;
    fn(at, end - at, static_cast<size_t>(list.slots == nullptr ? list.first : list.slots[at]));
    at = end;
  }
}

}  // namespace

void LayerColumns::copy_out(std::span<const TokenIndex> tokens, std::byte* to) const {
  std::vector<int32_t> slots;
  const ColumnList columns = list(tokens, slots);
  for (const Buffer<std::byte>* half : {&keys_, &values_}) {
    for (size_t head = 0; head < n_kv_heads_; ++head, to += tokens.size() * head_bytes_) {
      for_each_run(columns, [&](size_t at, size_t n, size_t slot) {
        std::memcpy(to + at * head_bytes_, half->data() + (head * capacity() + slot) * head_bytes_,
                    n * head_bytes_);
      });
    }
  }
}

void LayerColumns::copy_in(std::span<const TokenIndex> tokens, const std::byte* from) {
  copy_in(tokens, from, 0, tokens.size());
}

void LayerColumns::copy_in(std::span<const TokenIndex> tokens, const std::byte* from, size_t first,
                           size_t n_all) {
  std::vector<int32_t> slots;
  const ColumnList columns = append(tokens, slots);
  for (Buffer<std::byte>* half : {&keys_, &values_}) {
    for (size_t head = 0; head < n_kv_heads_; ++head, from += n_all * head_bytes_) {
      for_each_run(columns, [&](size_t at, size_t n, size_t slot) {
        std::memcpy(half->data() + (head * capacity() + slot) * head_bytes_,
                    from + (first + at) * head_bytes_, n * head_bytes_);
      });
    }
  }
}

void LayerColumns::move_column(size_t from, size_t to) {
  for (size_t head = 0; head < n_kv_heads_; ++head) {
    const size_t base = head * capacity();
    std::memcpy(&keys_[(base + to) * head_bytes_], &keys_[(base + from) * head_bytes_], head_bytes_);
    std::memcpy(&values_[(base + to) * head_bytes_], &values_[(base + from) * head_bytes_], head_bytes_);
  }
}

}  // namespace lazyfill
