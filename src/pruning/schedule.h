// Where tokens may leave and how many stay: "LAYER:KEEP[,LAYER:KEEP...]" as text, and resolved for a model.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "lazyfill/error.h"
#include "lazyfill/types.h"

namespace lazyfill {

// Stages in the order of layers; empty for "off". "auto" and "fast" are resolved by the caller.
//   LAYER  counted from 0, or "50%" of the depth: the prunable layer nearest to it
//   KEEP   a fraction in (0, 1] of the tokens that entered the layer, "@512": that many tokens, or "p0.9":
//          as few as hold 0.9 of the attention that the policy counts, the first token's left out
// An error sentence names the part that is wrong, and, for a layer that cannot prune, those that can.
Result<std::vector<ScheduleStage>> parse_schedule(std::string_view spec, size_t n_layers,
                                                  std::span<const size_t> prunable_layers);

// How many of n tokens a stage keeps: ceil(keep * n) or keep_tokens, at least 1 and at most n; 0 of 0. With
// keep_mass, where only the scores tell: all.
size_t kept_count(const ScheduleStage& stage, size_t n);

}  // namespace lazyfill
