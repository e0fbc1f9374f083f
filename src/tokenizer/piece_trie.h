// The pieces of a vocabulary as a tree of bytes, so that all pieces that start at a place in a text are found
// in one walk.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
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
    if (node >= nodes_.size()) return next_in_run(node - nodes_.size(), byte);
    if (nodes_[node].n_children == kRun) return next_in_run(nodes_[node].children, byte);
    const uint32_t end = nodes_[node].children + nodes_[node].n_children;
    for (uint32_t child = nodes_[node].children; child < end; ++child) {
      if (labels_[child] == byte) return child;
    }
    return kNowhere;
  }
  // The node that a string leads to from the root, or kNowhere.
  uint32_t find(std::string_view text) const;
  // -1 where no piece ends.
  int32_t id(uint32_t node) const { return node < nodes_.size() ? nodes_[node].id : -1; }

 private:
  static constexpr uint16_t kRun = UINT16_MAX;

  struct Node {
    uint32_t children = 0;    // the first one; they lie side by side. Of kRun: where the run begins
    uint16_t n_children = 0;  // or kRun: only one way on for several bytes
    int32_t id = -1;
  };
  // Bytes that only follow one another need no nodes, or a file's megabyte of one token would cost forty. The
  // place after runs_[i] within a run is the node nodes_.size() + i + 1; after the run stand four bytes, the
  // node that it leads to.
  uint32_t next_in_run(size_t place, unsigned char byte) const {
    if (runs_[place] != byte) return kNowhere;
    if (!run_ends_[++place]) return static_cast<uint32_t>(nodes_.size() + place);
    uint32_t node = 0;
    std::memcpy(&node, &runs_[place], sizeof node);
    return node;
  }

  void append_run(std::string_view bytes, uint32_t target);

  std::vector<Node> nodes_;            // breadth first
  std::vector<unsigned char> labels_;  // [n_nodes]: the byte that leads to a node
  std::vector<unsigned char> runs_;
  std::vector<bool> run_ends_;  // [runs_.size()]: whether a run's bytes end before this place
  std::array<uint32_t, 256> first_level_{};
};

}  // namespace lazyfill
