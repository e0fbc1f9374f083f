// The pieces of a vocabulary as a tree of bytes, so that all pieces that start at a place in a text are found
// in one walk.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace lazyfill {

class PieceTrie {
 public:
  static constexpr uint32_t kRoot = 0;
  static constexpr uint32_t kNowhere = UINT32_MAX;

  PieceTrie() : PieceTrie(std::vector<std::pair<std::string_view, int32_t>>()) {}
  // Empty strings are left out; of equal strings the first one stays. The views need not outlive the trie.
  explicit PieceTrie(std::vector<std::pair<std::string_view, int32_t>> pieces);

  // The node that `byte` leads to from `node`, or kNowhere.
  uint32_t next(uint32_t node, unsigned char byte) const {
    if (node == kRoot) return first_level_[byte];
    const uint32_t end = nodes_[node].children + nodes_[node].n_children;
    for (uint32_t child = nodes_[node].children; child < end; ++child) {
      if (labels_[child] == byte) return child;
    }
    return kNowhere;
  }
  // The node that a string leads to from the root, or kNowhere.
  uint32_t find(std::string_view text) const;
  // -1 where no piece ends.
  int32_t id(uint32_t node) const { return nodes_[node].id; }

 private:
  struct Node {
    uint32_t children = 0;  // the first one; they lie side by side
    uint16_t n_children = 0;
    int32_t id = -1;
  };
  std::vector<Node> nodes_;            // breadth first
  std::vector<unsigned char> labels_;  // [n_nodes]: the byte that leads to a node
  std::array<uint32_t, 256> first_level_{};
};

}  // namespace lazyfill
