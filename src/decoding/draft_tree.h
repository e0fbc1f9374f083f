// Guesses at the next tokens of a text, which branch where there are several for one place.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/thread_pool.h"

namespace lazyfill {

struct DraftTree {
  std::vector<int32_t> tokens;   // [n] the first is no guess: the newest token of the text
  std::vector<int32_t> parents;  // [n] the node that it follows, an earlier one; -1 for the first
  std::vector<float>
      chances;  // [n] that the model takes all from the first to this one; at most the parent's

  explicit DraftTree(int32_t newest) : tokens{newest}, parents{-1}, chances{1} {}
  // chance: of this token where the model has taken the parent.
  void add(int32_t token, size_t parent, float chance);
  size_t n_drafts() const { return tokens.size() - 1; }
  size_t depth(size_t node) const;
  // The draft that follows `node` with this token; 0: there is none.
  size_t child(size_t node, int32_t token) const;
};

struct DraftLimits {
  size_t n_drafts = 0;
  size_t depth = 0;  // of the last draft of a way; the first that is guessed has 1
};

// The likeliest drafts within the limits, in the tree's order.
DraftTree likeliest(const DraftTree& tree, const DraftLimits& limits);

// What a step of some drafts promises: tokens for each time that a step of one row takes.
struct DraftPromise {
  size_t n_drafts = 0;
  double gain = 1;  // of a step without drafts
};
// How many of the likeliest drafts promise most. cost: of a step by its number of drafts, 1 without.
DraftPromise best_promise(const DraftTree& tree, const DraftLimits& limits, FunctionRef<double(size_t)> cost);

}  // namespace lazyfill
