// Which prompts are computed together, and which of them go first: pure functions, as docs/scheduling.md
// tells them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace lazyfill {

struct WaitingPrompt {
  int priority = 0;
  size_t n_tokens = 0;
  uint64_t number = 0;  // of its arrival
};

// Packs prompts of one priority, the shortest first, as long as they have at most pack_tokens tokens in all;
// a longer one is alone. [packs][prompts] indices.
std::vector<std::vector<size_t>> pack_prompts(std::span<const WaitingPrompt> prompts, size_t pack_tokens);

struct BegunPrefill {
  int priority = 0;
  double n_tokens_left = 0;  // tokens times the share of the work that is left
  uint64_t number = 0;       // of the first of its prompts that arrived
};

// The index of the one that goes on. Of those of the highest priority it is the shortest, so that short
// prompts overtake, and now and then the oldest, so that it ends however many short ones come.
size_t next_prefill(std::span<const BegunPrefill> prefills, bool is_turn_of_oldest);

}  // namespace lazyfill
