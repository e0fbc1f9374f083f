// Cosines and sines of the rotary embedding.
#pragma once

#include <span>

#include "model/config.h"

namespace lazyfill {

// The angles of `positions` to out: [positions.size(), rope_dim / 2, 2] of (cos, sin). `context_tokens` is
// what the sequence may grow to: LongRoPE has two sets of frequencies, and the columns of a sequence must all
// have been turned by the same.
//
// Computed anew for every row, in double (at position 8,000 a float angle is off by half a thousandth): a
// thousandth of a row's time, where a table would grow with the text and be shared by threads.
void rope_angles(const RopeConfig& rope, std::span<const int32_t> positions, size_t context_tokens,
                 float* out);
// Those of a second turn, by so many positions forward or back, of what rope_angles() has turned already.
void turn_angles(const RopeConfig& rope, std::span<const int32_t> turns, size_t context_tokens, float* out);

}  // namespace lazyfill
