// How far a lazy run is from the dense run of the same model: no labels, little noise. The dense run chooses
// a continuation; the lazy one is led along it, and the two distributions are compared token by token.
#pragma once

#include <cstdint>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "conversation/conversation.h"

namespace lazyfill::cli {

struct DenseReference {
  std::vector<int32_t> prompt;
  std::vector<int32_t> continuation;         // [n_tokens] the dense model's greedy choice
  std::string text;                          // of the continuation
  std::vector<std::vector<float>> logprobs;  // [n_tokens][n_vocab], natural logarithms; one more than the
                                             // continuation where it came to its end token
  std::vector<int32_t> likeliest;            // [n_tokens] the token that each of these finds most probable
  double ttft_ms = 0;
};

struct Fidelity {
  double first_kl = 0;    // KL(dense || lazy) of the first token, in nats
  double mean_kl = 0;     // over all n_tokens
  double agreement = 0;   // share of the tokens where both find the same one likeliest
  Generation generation;  // along the dense model's continuation
};

// KL(p || q) of two distributions given as logarithms of probabilities; never below zero.
double kl_divergence(std::span<const float> log_p, std::span<const float> log_q);
// Logits to logarithms of probabilities.
std::vector<float> log_softmax(std::span<const float> logits);

// The first token and n_tokens - 1 after it. The errors are those of Session::generate.
Result<DenseReference> dense_reference(const Executor& executor, std::vector<int32_t> prompt, size_t n_tokens,
                                       const std::stop_token& stop);
Result<Fidelity> measure_fidelity(const Executor& executor, const DenseReference& dense,
                                  const LazyOptions& lazy, const std::stop_token& stop);

// The same turn by turn, on conversations that hold what came before, and are to become `tokens`: the dense
// one's answer, as `options` end it, and the other one along it. Both then hold that answer.
Result<DenseReference> dense_turn(Conversation& dense, std::span<const int32_t> tokens,
                                  const GenerateOptions& options, const std::stop_token& stop);
Result<Fidelity> follow_turn(Conversation& conversation, std::span<const int32_t> tokens,
                             const DenseReference& dense, const std::stop_token& stop);

}  // namespace lazyfill::cli
