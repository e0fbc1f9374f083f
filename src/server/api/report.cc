#include "server/api/report.h"

namespace lazyfill::server {
namespace {

double per_second(size_t n, double ms) {
  return ms > 0 ? static_cast<double>(n) * 1000 / ms : 0;
}

Json stage_json(const LazyReport& lazy, size_t index, bool with_kept) {
  const ScheduleStage& stage = lazy.schedule[index];
  Json entry = {{"layer", stage.layer}};
  if (stage.keep_tokens > 0) {
    entry["keep_tokens"] = stage.keep_tokens;
  } else if (stage.keep_mass > 0) {
    entry["keep_mass"] = stage.keep_mass;
  } else {
    entry["keep"] = stage.keep;
  }
  if (index < lazy.kept.size()) {
    entry["n_kept"] = lazy.kept[index].size();
    if (with_kept) entry["positions"] = lazy.kept[index];
  }
  return entry;
}

}  // namespace

Json timings_json(const Generation& generation) {
  const Timings& timings = generation.timings;
  const size_t n_cached = generation.prefix.n_cached_tokens;
  const size_t n_prompt = generation.prompt_token_ids.size() - n_cached;
  const size_t n_answer = generation.token_ids.size();
  const size_t n_after_first = n_answer > 0 ? n_answer - 1 : 0;
  Json timings_of = {{"cache_n", n_cached},
                     {"prompt_n", n_prompt},
                     {"prompt_ms", timings.prefill_ms},
                     {"prompt_per_second", per_second(n_prompt, timings.prefill_ms)},
                     {"predicted_n", n_answer},
                     {"predicted_ms", timings.decode_ms},
                     {"predicted_per_second", per_second(n_after_first, timings.decode_ms)},
                     {"queue_ms", timings.queue_ms},
                     {"ttft_ms", timings.ttft_ms},
                     {"total_ms", timings.total_ms}};
  if (const DraftReport& drafts = generation.drafts; drafts.n_proposed > 0) {  // llama-server's names
    timings_of["draft_n"] = drafts.n_proposed;
    timings_of["draft_n_accepted"] = drafts.n_accepted;
  }
  return timings_of;
}

Json lazy_json(const Engine& engine, const Generation& generation, bool with_kept) {
  const LazyReport& lazy = generation.lazy;
  Json pieces = Json::array();
  if (with_kept)
    for (const int32_t id : generation.prompt_token_ids) pieces.push_back(engine.piece(id));
  if (!generation.lazy_used) {
    if (!with_kept) return nullptr;
    return {{"stages", Json::array()}, {"pieces", std::move(pieces)}};
  }
  Json stages = Json::array();
  for (size_t i = 0; i < lazy.schedule.size(); ++i) stages.push_back(stage_json(lazy, i, with_kept));
  Json computed = Json::array();  // a layer each
  for (const double share : lazy.computed_fraction)
    computed.push_back(
        static_cast<size_t>(share * static_cast<double>(generation.prompt_token_ids.size()) + 0.5));
  Json out = {{"source", lazy.choice.source},
              {"policy", lazy.choice.policy},
              {"stages", std::move(stages)},
              {"computed_tokens", std::move(computed)},
              {"computed_fraction", lazy.computed_fraction},
              {"revived_rows", lazy.revived_rows}};
  if (with_kept) out["pieces"] = std::move(pieces);
  return out;
}

Json progress_json(const PrefillProgress& progress) {
  return {{"total", progress.n_total},   {"cache", progress.n_cached}, {"processed", progress.n_processed},
          {"time_ms", progress.time_ms}, {"layer", progress.layer},    {"n_layers", progress.n_layers},
          {"rows_left", progress.rows}};
}

const char* finish_reason(const Choice& choice) {
  if (choice.generation && choice.generation->finish_reason == FinishReason::kLength) return "length";
  return choice.calls_tools() ? "tool_calls" : "stop";
}

}  // namespace lazyfill::server
