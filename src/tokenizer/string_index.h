// From strings to token ids: an open-addressing table over views, because a map of nodes takes longer to
// build for a quarter of a million pieces than the model file takes to map.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

namespace lazyfill {

// The smallest power of two that leaves a table of `n` entries at most half full.
inline size_t table_size(size_t n) {
  size_t size = 16;
  while (size < 2 * n) size *= 2;
  return size;
}

class StringIndex {
 public:
  StringIndex() : StringIndex(0) {}
  // At most n_max strings will be inserted.
  explicit StringIndex(size_t n_max) : slots_(table_size(n_max)) {}

  // The views must outlive the index. Of equal strings the first one stays.
  void insert(std::string_view text, int32_t id) {
    Slot& slot = slots_[slot_of(text)];
    if (slot.id < 0) slot = {text, id};
  }
  // -1 when absent.
  int32_t find(std::string_view text) const { return slots_[slot_of(text)].id; }

 private:
  struct Slot {
    std::string_view text;
    int32_t id = -1;
  };
  size_t slot_of(std::string_view text) const {
    const size_t mask = slots_.size() - 1;
    size_t slot = std::hash<std::string_view>{}(text)&mask;
    while (slots_[slot].id >= 0 && slots_[slot].text != text) slot = (slot + 1) & mask;
    return slot;
  }

  std::vector<Slot> slots_;
};

// From a pair of token ids to the merge that joins them.
class MergeIndex {
 public:
  struct Merge {
    int32_t rank = -1;    // the lower, the earlier; -1: the pair does not merge
    int32_t merged = -1;  // id of the joined token
  };

  MergeIndex() : MergeIndex(0) {}
  explicit MergeIndex(size_t n_max) : slots_(table_size(n_max)) {}

  // A pair that is listed twice keeps its first rank.
  void insert(int32_t left, int32_t right, Merge merge) {
    Slot& slot = slots_[slot_of(key_of(left, right))];
    if (slot.merge.rank < 0) slot = {key_of(left, right), merge};
  }
  Merge find(int32_t left, int32_t right) const { return slots_[slot_of(key_of(left, right))].merge; }

 private:
  struct Slot {
    uint64_t key = 0;
    Merge merge;
  };
  static uint64_t key_of(int32_t left, int32_t right) {
    return (static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32) | static_cast<uint32_t>(right);
  }
  size_t slot_of(uint64_t key) const {
    const size_t mask = slots_.size() - 1;
    size_t slot = ((key * 0x9E3779B97F4A7C15ULL) >> 24) & mask;  // Fibonacci hashing
    while (slots_[slot].merge.rank >= 0 && slots_[slot].key != key) slot = (slot + 1) & mask;
    return slot;
  }

  std::vector<Slot> slots_;
};

}  // namespace lazyfill
