#include "cli/summary.h"

#include <algorithm>
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
