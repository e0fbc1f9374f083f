// One-line descriptions for standard error.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "lazyfill/types.h"

namespace lazyfill::cli {

std::string model_summary(const ModelInfo& info);
// As --activations calls it: 16 or 8.
int activation_bits(const ModelInfo& info);
// "4,096 prompt tokens, TTFT 1.42 s, prefill 2,880 tokens/s, decode 41.0 tokens/s, lazy 9:0.5,15:0.5 (63%
// computed)"
std::string generation_summary(const Generation& generation);
// Why the answer ends before its end: the context is full, or -n was reached. Empty: it does not.
enum class Cut { kNot, kByLength, kByContext };
Cut cut_of(const Generation& generation, size_t context_tokens);
// A sentence with a way out; empty where the answer is not cut.
std::string cut_sentence(const Generation& generation, size_t context_tokens);
// "3 tokens, log-probability -7.12 (-3.56 a token), perplexity 35.2"; the first has none before it.
std::string score_sentence(const std::vector<float>& logprobs);
std::string schedule_text(
    const std::vector<ScheduleStage>& schedule);  // as --lazy takes it; "off" when empty
// What a prefill left out: "9:0.5,15:0.5", and with sparse attention "9:0.5,15:0.5 sparse 0.95".
std::string lazy_text(const LazyReport& report);

// How many pruning layers each prompt token passed in the prefill: 0 to schedule.size().
std::vector<size_t> stages_survived(const LazyReport& report, size_t n_tokens);
// Layers that computed a token that passed `survived` pruning layers.
size_t layers_computed(const std::vector<ScheduleStage>& schedule, size_t survived, size_t n_layers);
// Share of all prompt rows of all layers that the prefill computed; 1 for dense.
double computed_share(const LazyReport& report, size_t n_tokens, size_t n_layers);

}  // namespace lazyfill::cli
