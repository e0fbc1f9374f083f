#include "tokenizer/piece_trie.h"

#include <algorithm>

namespace lazyfill {
namespace {

using Pieces = std::vector<std::pair<std::string_view, int32_t>>;

// Up to where the sorted pieces [begin, end) go on alike after `depth` bytes, and none of them ends.
size_t shared_until(const Pieces& pieces, size_t begin, size_t end, size_t depth) {
  if (begin == end) return depth;
  const std::string_view first = pieces[begin].first;
  const std::string_view last = pieces[end - 1].first;
  const auto from = static_cast<ptrdiff_t>(depth);
  // What the first and the last share, all between them share.
  const auto [stop, other] =
      std::mismatch(first.begin() + from, first.end(), last.begin() + from, last.end());
  return static_cast<size_t>(stop - first.begin());
}

}  // namespace

void PieceTrie::append_run(std::string_view bytes, uint32_t target) {
  runs_.insert(runs_.end(), bytes.begin(), bytes.end());
  run_ends_.resize(runs_.size(), false);
  run_ends_.push_back(true);
  runs_.resize(runs_.size() + sizeof target);
  run_ends_.resize(runs_.size(), false);
  std::memcpy(&runs_[runs_.size() - sizeof target], &target, sizeof target);
}

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
    if (const size_t stop = node == kRoot ? depth : shared_until(pieces, begin, end, depth);
        stop > depth + 1) {
      nodes_[node].children = static_cast<uint32_t>(runs_.size());
      nodes_[node].n_children = kRun;
      append_run(pieces[begin].first.substr(depth, stop - depth), static_cast<uint32_t>(nodes_.size()));
      nodes_.emplace_back();
      labels_.push_back(0);
      ranges.push_back({begin, end, stop});
      continue;
    }
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
