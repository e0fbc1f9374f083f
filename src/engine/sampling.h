// From logits to a token. Pure functions over one row of logits.
#pragma once

#include <cstdint>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "base/thread_pool.h"
#include "lazyfill/error.h"
#include "lazyfill/types.h"

namespace lazyfill {

inline constexpr float kBanBias = -100;  // of a LogitBias; and below

// Every number in its range, and every id one of the n_tokens that there are. The one place where options are
// checked: what follows takes them as they are.
Result<void> check_sampling(const SamplingOptions& options, size_t n_tokens);

struct TokenLogprobs {
  TokenLogprob chosen;
  std::vector<TokenLogprob> top;
};
// Of the chosen token, and of the n most likely of the first n_tokens, which is as many as there are: natural
// logarithms, before temperature, normalised over all logits; most likely first, of equal logits the lower id
// first. What lies behind are rows without a token: probable perhaps, but nothing to choose.
TokenLogprobs token_logprobs(std::span<const float> logits, size_t n_tokens, int32_t chosen, size_t n);

// What penalties look at.
struct SamplingHistory {
  std::span<const int32_t> tokens;          // prompt and answer so far
  size_t n_prompt = 0;                      // of them
  FunctionRef<std::string(int32_t)> piece;  // the text of a token
};

// Whether the options change logits at all; where they do not, nobody need copy them.
bool adjusts_logits(const SamplingOptions& options);
// Biases and penalties, on the logits [n_tokens] of the tokens that there are.
void adjust_logits(std::span<float> logits, const SamplingOptions& options, const SamplingHistory& history);

// A token of those that the logits are given of. Temperature 0: the most likely token. Otherwise drawn after
// top-k, top-p and min-p, in this order.
int32_t sample(std::span<const float> logits, const SamplingOptions& options, std::mt19937_64& random);

}  // namespace lazyfill
