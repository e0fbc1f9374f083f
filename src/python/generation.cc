// What was generated, and what is known of how.
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <string>
#include <tuple>

#include "python/bindings.h"
#include "python/ticket.h"

namespace lazyfill::python {
namespace {

namespace nb = nanobind;

using Self = nb::pointer_and_handle<Answered>;
// Layer, share of the tokens, number of tokens, share of the attention; one of the last three counts.
using Stage = std::tuple<size_t, double, size_t, double>;

const char* finish_reason(const Answered& answered) {
  switch (answered.generation.finish_reason) {
    case FinishReason::kStop:
      return "stop";
    case FinishReason::kLength:
      return "length";
    case FinishReason::kCancelled:
      return "cancelled";
  }
  return "length";
}

std::vector<Stage> schedule(const Answered& answered) {
  std::vector<Stage> stages;
  for (const ScheduleStage& stage : answered.generation.lazy.schedule)
    stages.emplace_back(stage.layer, stage.keep, stage.keep_tokens, stage.keep_mass);
  return stages;
}

std::vector<std::vector<std::tuple<int32_t, float>>> top_logprobs(const Answered& answered) {
  std::vector<std::vector<std::tuple<int32_t, float>>> lists;
  for (const auto& candidates : answered.generation.top_logprobs) {
    auto& list = lists.emplace_back();
    for (const TokenLogprob& candidate : candidates) list.emplace_back(candidate.id, candidate.logprob);
  }
  return lists;
}

nb::typed<nb::dict, nb::str, double> timings(const Answered& answered) {
  const Timings& timings = answered.generation.timings;
  nb::dict told;
  told["queue_ms"] = timings.queue_ms;
  told["ttft_ms"] = timings.ttft_ms;
  told["prefill_ms"] = timings.prefill_ms;
  told["decode_ms"] = timings.decode_ms;
  told["total_ms"] = timings.total_ms;
  return told;
}

nb::typed<nb::dict, nb::str, nb::any> choice(const Answered& answered) {
  const LazyReport& lazy = answered.generation.lazy;
  nb::dict told;
  told["source"] = lazy.choice.source;
  told["policy"] = lazy.choice.policy;
  told["min_tokens"] = lazy.choice.min_tokens;
  told["short_prompt"] = lazy.choice.short_prompt;
  told["attention_mass"] = lazy.choice.attention_mass;
  told["attention_kept"] = lazy.attention_kept;
  return told;
}

nb::typed<nb::dict, nb::str, int> drafts(const Answered& answered) {
  const DraftReport& report = answered.generation.drafts;
  nb::dict told;
  told["steps"] = report.n_steps;
  told["proposed"] = report.n_proposed;
  told["accepted"] = report.n_accepted;
  return told;
}

nb::typed<nb::dict, nb::str, int> memory(const Answered& answered) {
  const MemoryUse& use = answered.generation.memory;
  nb::dict told;
  told["weights_bytes"] = use.weights_bytes;
  told["kv_bytes"] = use.kv_bytes;
  told["aux_bytes"] = use.aux_bytes;
  return told;
}

}  // namespace

void bind_generation(nb::module_& module) {
  nb::class_<Answered>(module, "Generation")
      .def_prop_ro("prompt_token_ids", [](const Answered& a) { return a.generation.prompt_token_ids; })
      .def_prop_ro("token_ids", [](const Answered& a) { return a.generation.token_ids; })
      .def_prop_ro(
          "text", [](const Answered& a) { return text_of(a.generation.text); },
          nb::sig("def text(self) -> str"))
      .def_prop_ro(
          "plain_text", [](const Answered& a) { return text_of(a.generation.plain_text); },
          nb::sig("def plain_text(self) -> str"))
      .def_prop_ro("finish_reason", &finish_reason)
      .def_prop_ro(
          "stop_text", [](const Answered& a) { return text_of(a.generation.stop_text); },
          nb::sig("def stop_text(self) -> str"))
      .def_prop_ro("token_logprobs",
                   [](Self self) { return array_of(self.p->generation.token_logprobs, self.h); })
      .def_prop_ro("top_logprobs", &top_logprobs)
      .def_prop_ro("timings", &timings)
      .def_prop_ro("token_ms", [](Self self) { return array_of(self.p->token_ms, self.h); })
      .def_prop_ro("lazy_used", [](const Answered& a) { return a.generation.lazy_used; })
      .def_prop_ro("schedule", &schedule)
      .def_prop_ro("kept",
                   [](Self self) {
                     std::vector<Array<int32_t>> kept;
                     for (const auto& positions : self.p->generation.lazy.kept)
                       kept.push_back(array_of(positions, self.h));
                     return kept;
                   })
      .def_prop_ro("computed_fraction",
                   [](Self self) { return array_of(self.p->generation.lazy.computed_fraction, self.h); })
      .def_prop_ro("revived_rows", [](const Answered& a) { return a.generation.lazy.revived_rows; })
      .def_prop_ro("computed_by_step", [](const Answered& a) { return a.generation.lazy.computed_by_step; })
      .def_prop_ro("choice", &choice)
      .def_prop_ro("cached_tokens", [](const Answered& a) { return a.generation.prefix.n_cached_tokens; })
      .def_prop_ro("agreeing_tokens", [](const Answered& a) { return a.generation.prefix.n_agreeing_tokens; })
      .def_prop_ro("drafts", &drafts)
      .def_prop_ro("memory", &memory);
}

}  // namespace lazyfill::python
