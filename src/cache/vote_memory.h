// What the steps so far thought of each token at one pruning layer. One decode step's attention looks at what
// its own token needs; what its neighbours needed is likely to be needed again, so older votes fade slowly.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "cache/token_ring.h"

namespace lazyfill {

class VoteMemory {
 public:
  explicit VoteMemory(TokenRing ring) : ring_(ring) {}

  // Adds `share` (from 0, nothing, below 1) of what is remembered to the votes of these tokens, and remembers
  // the sums from the end of this step on. The memory of all other tokens fades by the same share. Once a
  // step.
  void add_to(std::span<float> votes, std::span<const TokenIndex> tokens, float share);

  // The end of a step: its sums count from now on or, undone, never did.
  void commit();
  void rollback() { next_.clear(); }
  // What is remembered, to be set again if more than a step is undone.
  const std::vector<float>& remembered() const { return votes_; }
  void restore(std::vector<float> votes) { votes_ = std::move(votes); }

  // Of the tokens [begin, end), to be kept elsewhere and set again; empty: nothing is remembered. Not within
  // a step.
  std::vector<float> of(TokenIndex begin, TokenIndex end) const;
  void set(TokenIndex begin, std::span<const float> votes);

  // Before commit(): of the n_new tokens from first_new on, those of first_new + kept[i] (ascending) become
  // those of first_new + i, and the others are forgotten.
  void keep_new(TokenIndex first_new, size_t n_new, std::span<const size_t> kept);

  // Forgets the tokens [begin, end). Not within a step.
  void forget(TokenIndex begin, TokenIndex end);

 private:
  TokenRing ring_;
  std::vector<float> votes_;  // by place
  std::vector<float> next_;   // of this step; empty: none was added
};

}  // namespace lazyfill
