#include "server/api/report.h"

#include "tokenizer/utf8.h"

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

// What each of the tokens adds to the text. Where a character's bytes are those of several, it stands with
// the last of them.
Json pieces_json(const Engine& engine, const std::vector<int32_t>& ids) {
  Json pieces = Json::array();
  std::string pending;
  for (size_t i = 0; i < ids.size(); ++i) {
    pending += engine.piece(ids[i]);
    const bool is_last = i + 1 == ids.size();
    const size_t n_whole = pending.size() - (is_last ? 0 : utf8::incomplete_tail(pending));
    pieces.push_back(utf8::replace_invalid(std::string_view(pending).substr(0, n_whole)));
    pending.erase(0, n_whole);
  }
  return pieces;
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
  Json pieces = with_kept ? pieces_json(engine, generation.prompt_token_ids) : Json::array();
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

void add_report(Json& object, const Engine& engine, const Generation& generation, bool with_kept) {
  const bool is_cut = generation.finish_reason == FinishReason::kLength;
  object["timings"] = timings_json(generation);
  object["lazy"] = lazy_json(engine, generation, with_kept);
  object["stop_type"] = is_cut ? "limit" : generation.stop_text.empty() ? "eos" : "word";
  object["stopping_word"] = generation.stop_text;
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
