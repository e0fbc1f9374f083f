#include "cli/summary.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "cli/record.h"
#include "cli/text.h"

namespace lazyfill::cli {

std::string model_summary(const ModelInfo& info) {
  return printable(info.name.empty() ? info.architecture : info.name) + " (" + printable(info.architecture) +
         ", " + fixed(static_cast<double>(info.n_parameters) / 1e6, 0) + " M parameters, " +
         std::to_string(info.n_layers) + " layers, context " + grouped(info.context_length) + ", " +
         info.isa + (info.activation_bits == ActivationBits::k8 ? ", 8-bit activations)" : ")");
}

int activation_bits(const ModelInfo& info) {
  return info.activation_bits == ActivationBits::k8 ? 8 : 16;
}

std::string schedule_text(const std::vector<ScheduleStage>& schedule) {
  if (schedule.empty()) return "off";
  std::vector<std::string> stages;
  for (const ScheduleStage& stage : schedule) {
    std::string text = std::to_string(stage.layer) + ':';
    if (stage.keep_tokens > 0) {
      text += '@';
      text += std::to_string(stage.keep_tokens);
    } else if (stage.keep_mass > 0) {
      text += 'p';
      text += short_number(stage.keep_mass);
    } else {
      text += short_number(stage.keep);
    }
    stages.push_back(std::move(text));
  }
  return join(stages, ",");
}

std::string lazy_text(const LazyReport& report) {
  const std::string schedule = schedule_text(report.schedule);
  if (report.choice.attention_mass >= 1) return schedule;
  return schedule + " sparse " + short_number(report.choice.attention_mass);
}

std::string generation_summary(const Generation& generation) {
  std::string line = grouped(generation.prompt_token_ids.size()) + " prompt tokens, TTFT " +
                     duration_text(generation.timings.ttft_ms) + ", prefill " +
                     grouped(static_cast<uint64_t>(prefill_tokens_per_s(generation))) + " tokens/s, " +
                     grouped(generation.token_ids.size()) + " generated";
  const double decode = decode_tokens_per_s(generation);
  if (decode > 0) line += " at " + fixed(decode, 1) + " tokens/s";
  return line + ", lazy " + lazy_text(generation.lazy);
}

std::string score_sentence(const std::vector<float>& logprobs) {
  const double sum = std::accumulate(logprobs.begin(), logprobs.end(), 0.0);
  const std::string n_tokens = grouped(logprobs.size()) + (logprobs.size() == 1 ? " token" : " tokens");
  if (logprobs.size() < 2) return n_tokens + ", too few for a score: the first has nothing before it";
  const double mean = sum / static_cast<double>(logprobs.size() - 1);
  return n_tokens + ", log-probability " + fixed(sum, 3) + " (" + fixed(mean, 4) + " a token), perplexity " +
         short_number(std::exp(-mean));
}

Cut cut_of(const Generation& generation, size_t context_tokens) {
  if (generation.finish_reason != FinishReason::kLength || generation.token_ids.empty()) return Cut::kNot;
  const size_t n_tokens = generation.prompt_token_ids.size() + generation.token_ids.size();
  return n_tokens >= context_tokens ? Cut::kByContext : Cut::kByLength;
}

std::string cut_sentence(const Generation& generation, size_t context_tokens) {
  const std::string n_generated = grouped(generation.token_ids.size());
  switch (cut_of(generation, context_tokens)) {
    case Cut::kNot:
      return {};
    case Cut::kByLength:
      return "the answer is cut at " + n_generated + " tokens: -n allows more";
    case Cut::kByContext:
      return "the answer is cut at " + n_generated + " tokens: the context of " + grouped(context_tokens) +
             " tokens is full";
  }
  return {};
}

std::vector<size_t> stages_survived(const LazyReport& report, size_t n_tokens) {
  std::vector<size_t> survived(n_tokens, 0);
  for (size_t stage = 0; stage < report.kept.size(); ++stage) {
    for (const int32_t position : report.kept[stage]) {
      if (position >= 0 && static_cast<size_t>(position) < n_tokens)
        survived[static_cast<size_t>(position)] = stage + 1;
    }
  }
  return survived;
}

size_t layers_computed(const std::vector<ScheduleStage>& schedule, size_t survived, size_t n_layers) {
  return survived < schedule.size() ? std::min(schedule[survived].layer + 1, n_layers) : n_layers;
}

double computed_share(const LazyReport& report, size_t n_tokens, size_t n_layers) {
  if (n_tokens == 0 || n_layers == 0) return 1;
  double rows = 0;
  for (const size_t survived : stages_survived(report, n_tokens)) {
    const size_t n_stages = std::min(report.kept.size(), report.schedule.size());
    rows += static_cast<double>(survived >= n_stages ? n_layers
                                                     : layers_computed(report.schedule, survived, n_layers));
  }
  return rows / (static_cast<double>(n_tokens) * static_cast<double>(n_layers));
}

}  // namespace lazyfill::cli
