// From logits to a token. Pure functions over one row of logits.
#pragma once

#include <cstdint>
#include <random>
#include <span>
#include <vector>

#include "lazyfill/types.h"

namespace lazyfill {

// The n most likely tokens with their log-probabilities (natural logarithm, before temperature), most likely
// first; of equal logits the lower id first.
std::vector<TokenLogprob> top_logprobs(std::span<const float> logits, size_t n);

// Temperature 0: the most likely token. Otherwise drawn after top-k, top-p and min-p, in this order.
int32_t sample(std::span<const float> logits, const SamplingOptions& options, std::mt19937_64& random);

}  // namespace lazyfill
