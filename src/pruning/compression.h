// Shorter prompts before the model sees them: the baselines that drop tokens from the text itself.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace lazyfill {

// Indices that stay, ascending: ceil(keep * n) of them, the last one always. What the model itself found
// least surprising goes first ("self-information", arXiv 2310.06201). logprobs: [n] of each token given those
// before it; the first one has none and counts as certain to stay.
std::vector<uint32_t> choose_informative(std::span<const float> logprobs, double keep);

// The same number by a seeded chance.
std::vector<uint32_t> choose_at_random(size_t n, double keep, uint64_t seed);

}  // namespace lazyfill
