// All that is kept of one sequence that has ended, as it goes to disk and comes back.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cache/cache_part.h"

namespace lazyfill {

// How a sequence computes: what may be shared follows from it.
struct PrefixPlan {
  std::string name;           // schedule, policy and their switches
  size_t first_choosing = 0;  // layer; the number of layers: dense
  float attention_mass = 1;   // below 1, what layers up to that one compute is no dense row's
  bool is_dense(size_t n_layers) const { return first_choosing == n_layers; }
};

// The name of what was stopped: only layers up to first_choosing are there, whatever the schedule was. No
// question has it.
inline constexpr std::string_view kCutPlan = "cut";

// A part and how much of it.
struct PartRange {
  std::shared_ptr<const CachePart> part;
  TokenIndex begin;
  TokenIndex end;
};

// What one sequence is known by.
struct SequenceName {
  std::vector<int32_t> tokens;
  size_t prompt_end = 0;  // tokens from here on answer it
  size_t n_dense = 0;     // first tokens that dense rows computed in all layers
  PrefixPlan plan;
  std::string salt;
};

// Points to what holds it.
struct StoredSequence {
  SequenceName name;
  // One behind the other, of all tokens: all layers of those that are dense, of the others those up to the
  // choosing one, with the states that entered it.
  std::vector<PartRange> parts;
  const CachePart* own = nullptr;  // of the tokens from n_dense on, the layers above the choosing one
  // [layers from the choosing one on][tokens] what is remembered of votes; each may be empty.
  std::vector<std::span<const float>> votes;
  double saved_for_revival = 0;
};

}  // namespace lazyfill
