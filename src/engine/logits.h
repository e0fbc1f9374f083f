// What sampling and log-probabilities ask of one row of logits, finite but for all_finite(). A vocabulary has
// up to a quarter of a million of them and a token is waited for, so these are loops that a compiler makes
// vectors of.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace lazyfill {

// The largest; of none, the lowest float.
float largest(std::span<const float> logits);

// log(sum(exp(logits))), to 1e-6.
double log_sum_exp(std::span<const float> logits);

// Ids of the n highest logits, or of all, highest first; of equal logits the lower id first.
std::vector<int32_t> highest(std::span<const float> logits, size_t n);

// False if one is NaN or infinite.
bool all_finite(std::span<const float> values);

}  // namespace lazyfill
