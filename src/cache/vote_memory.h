// What the steps so far thought of each token at one pruning layer. One decode step's attention looks at what
// its own token needs; what its neighbours needed is likely to be needed again, so older votes fade slowly.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace lazyfill {

class VoteMemory {
 public:
  // Adds `share` (from 0, nothing, below 1) of what is remembered to the votes of the tokens at these
  // positions (ascending), and remembers the sums from the end of this step on. The memory of all other
  // tokens fades by the same share. Once a step.
  void add_to(std::span<float> votes, std::span<const int32_t> positions, float share);

  // The end of a step: its sums count from now on or, undone, never did.
  void commit();
  void rollback() { next_.clear(); }

  // Forgets every token at or behind a position. Not within a step.
  void truncate(int32_t end_position);

 private:
  std::vector<float> votes_;  // by position
  std::vector<float> next_;   // of this step; empty: none was added
};

}  // namespace lazyfill
