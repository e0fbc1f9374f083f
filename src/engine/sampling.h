// From logits to a token. Pure functions over one row of logits.
#pragma once

#include <cstdint>
#include <random>
#include <span>
#include <vector>

#include "lazyfill/types.h"

namespace lazyfill {

// The n most likely of the first n_tokens, which is as many as there are, with their log-probabilities
// (natural logarithm, before temperature, normalised over all logits), most likely first; of equal logits the
// lower id first. What lies behind are rows without a token: probable perhaps, but nothing to choose.
std::vector<TokenLogprob> top_logprobs(std::span<const float> logits, size_t n_tokens, size_t n);

// A token of those that the logits are given of. Temperature 0: the most likely token. Otherwise drawn after
// top-k, top-p and min-p, in this order.
int32_t sample(std::span<const float> logits, const SamplingOptions& options, std::mt19937_64& random);

}  // namespace lazyfill
