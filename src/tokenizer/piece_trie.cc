#include "tokenizer/piece_trie.h"

#include <algorithm>

namespace lazyfill {

PieceTrie::PieceTrie(std::vector<std::pair<std::string_view, int32_t>> pieces) {
  std::stable_sort(pieces.begin(), pieces.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  struct Range {  // the pieces that begin with what leads to a node
    size_t begin = 0;
    size_t end = 0;
    size_t depth = 0;
  };
  std::vector<Range> ranges{{0, pieces.size(), 0}};
  nodes_.emplace_back();
  labels_.push_back(0);
  for (size_t node = 0; node < nodes_.size(); ++node) {
    auto [begin, end, depth] = ranges[node];
    if (begin < end && pieces[begin].first.size() == depth) {  // the shortest is sorted first
      if (depth > 0) nodes_[node].id = pieces[begin].second;
      while (begin < end && pieces[begin].first.size() == depth) ++begin;
    }
    nodes_[node].children = static_cast<uint32_t>(nodes_.size());
    while (begin < end) {
      const auto label = static_cast<unsigned char>(pieces[begin].first[depth]);
      size_t stop = begin;
      while (stop < end && static_cast<unsigned char>(pieces[stop].first[depth]) == label) ++stop;
      ++nodes_[node].n_children;
      nodes_.emplace_back();
      labels_.push_back(label);
      ranges.push_back({begin, stop, depth + 1});
      begin = stop;
    }
  }
  first_level_.fill(kNowhere);
  for (uint32_t child = nodes_[kRoot].children; child < nodes_[kRoot].children + nodes_[kRoot].n_children;
       ++child) {
    first_level_[labels_[child]] = child;
  }
}

uint32_t PieceTrie::find(std::string_view text) const {
  uint32_t node = kRoot;
  for (size_t i = 0; i < text.size() && node != kNowhere; ++i) {
    node = next(node, static_cast<unsigned char>(text[i]));
  }
  return node;
}

}  // namespace lazyfill
