#include "cli/record.h"

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

#include "cli/flags.h"
#include "cli/summary.h"
#include "cli/text.h"

namespace lazyfill::cli {
namespace {

using Json = nlohmann::ordered_json;

const char* finish_reason_name(FinishReason reason) {
  switch (reason) {
    case FinishReason::kStop:
      return "stop";
    case FinishReason::kLength:
      return "length";
    case FinishReason::kCancelled:
      return "cancelled";
  }
  return "length";
}

Json top_logprobs_json(const Generation& generation) {
  Json lists = Json::array();
  for (const auto& candidates : generation.top_logprobs) {
    Json list = Json::array();
    for (const TokenLogprob& candidate : candidates)
      list.push_back({{"id", candidate.id}, {"logprob", candidate.logprob}});
    lists.push_back(std::move(list));
  }
  return lists;
}

// What was chosen, also where that was dense and there is no part "lazy".
Json choice_json(const LazyReport& lazy) {
  Json choice = {{"source", lazy.choice.source},
                 {"schedule", schedule_text(lazy.schedule)},
                 {"policy", lazy.choice.policy}};
  if (lazy.choice.attention_mass < 1) {
    choice["sparse_attention"] = {{"mass", std::stod(short_number(lazy.choice.attention_mass))},
                                  {"kept", lazy.attention_kept}};
  }
  if (lazy.choice.min_tokens > 0) {
    choice["min_tokens"] = lazy.choice.min_tokens;
    choice["short_prompt"] = lazy.choice.short_prompt;
  }
  return choice;
}

Json timings_json(const Generation& generation, double load_ms) {
  const Timings& timings = generation.timings;
  return {{"load_ms", load_ms},
          {"queue_ms", timings.queue_ms},
          {"ttft_ms", timings.ttft_ms},
          {"prefill_ms", timings.prefill_ms},
          {"prefill_tokens_per_s", prefill_tokens_per_s(generation)},
          {"decode_tokens_per_s", decode_tokens_per_s(generation)},
          {"total_ms", timings.total_ms}};
}

// Null: no step had any to guess.
Json drafts_json(const DraftReport& drafts) {
  if (drafts.n_steps == 0) return nullptr;
  return {{"steps", drafts.n_steps}, {"proposed", drafts.n_proposed}, {"accepted", drafts.n_accepted}};
}

const char* error_name(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidArgument:
      return "invalid_argument";
    case ErrorCode::kInvalidFile:
      return "invalid_line";
    case ErrorCode::kUnsupported:
      return "unsupported";
    case ErrorCode::kNotFound:
      return "not_found";
    case ErrorCode::kContextExceeded:
      return "context_exceeded";
    case ErrorCode::kOutOfMemory:
      return "out_of_memory";
    case ErrorCode::kCancelled:
      return "cancelled";
    case ErrorCode::kBusy:
      return "busy";
  }
  return "invalid_argument";
}

// The library escapes the control characters below U+0020, but U+009B and its like steer terminals too.
std::string without_controls(std::string_view json) {
  std::string out;
  out.reserve(json.size() + 1);
  constexpr std::string_view kDigits = "0123456789abcdef";
  for (size_t i = 0; i < json.size(); ++i) {
    const auto next = static_cast<unsigned char>(i + 1 < json.size() ? json[i + 1] : '\0');
    if (json[i] == '\x7F') {
      out += "\\u007f";
    } else if (json[i] == '\xC2' && next >= 0x80 && next < 0xA0) {
      out += "\\u00";
      out += kDigits[next >> 4];
      out += kDigits[next & 15];
      ++i;
    } else {
      out += json[i];
    }
  }
  return out;
}

}  // namespace

double prefill_tokens_per_s(const Generation& generation) {
  if (generation.timings.prefill_ms <= 0) return 0;
  const size_t n_computed = generation.prompt_token_ids.size() - generation.prefix.n_cached_tokens;
  return static_cast<double>(n_computed) * 1000 / generation.timings.prefill_ms;
}

double decode_tokens_per_s(const Generation& generation) {
  if (generation.timings.decode_ms <= 0 || generation.token_ids.size() < 2) return 0;
  return static_cast<double>(generation.token_ids.size() - 1) * 1000 / generation.timings.decode_ms;
}

Json lazy_json(const Generation& generation) {
  if (!generation.lazy_used) return nullptr;
  Json schedule = Json::array();
  Json kept = Json::array();
  const LazyReport& lazy = generation.lazy;
  for (size_t i = 0; i < lazy.schedule.size(); ++i) {
    const ScheduleStage& stage = lazy.schedule[i];
    Json entry = {{"layer", stage.layer}};
    if (stage.keep_tokens > 0) {
      entry["keep_tokens"] = stage.keep_tokens;
    } else if (stage.keep_mass > 0) {
      entry["keep_mass"] = stage.keep_mass;
    } else {
      entry["keep"] = stage.keep;
    }
    schedule.push_back(std::move(entry));
    if (i < lazy.kept.size()) kept.push_back({{"layer", stage.layer}, {"positions", lazy.kept[i]}});
  }
  return {{"schedule", std::move(schedule)},
          {"kept", std::move(kept)},
          {"computed_fraction", lazy.computed_fraction},
          {"revived_rows", lazy.revived_rows},
          {"computed_by_step", lazy.computed_by_step}};
}

Json make_record(const Generation& generation, double load_ms) {
  return {{"version", 1},
          {"prompt_tokens", generation.prompt_token_ids.size()},
          {"cached_tokens", generation.prefix.n_cached_tokens},
          {"agreeing_tokens", generation.prefix.n_agreeing_tokens},
          {"prompt_token_ids", generation.prompt_token_ids},
          {"token_ids", generation.token_ids},
          {"text", generation.text},
          {"finish_reason", finish_reason_name(generation.finish_reason)},
          {"top_logprobs", top_logprobs_json(generation)},
          {"timings", timings_json(generation, load_ms)},
          {"lazy", lazy_json(generation)},
          {"lazy_choice", choice_json(generation.lazy)},
          {"drafts", drafts_json(generation.drafts)},
          {"memory",
           {{"peak_rss_bytes", peak_rss_bytes()},
            {"weights_bytes", generation.memory.weights_bytes},
            {"kv_bytes", generation.memory.kv_bytes},
            {"aux_bytes", generation.memory.aux_bytes}}}};
}

uint64_t peak_rss_bytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (!line.starts_with("VmHWM:")) continue;
    const size_t first = line.find_first_of("0123456789");
    if (first == std::string::npos) return 0;
    const size_t last = line.find_first_not_of("0123456789", first);
    return parse_count(line.substr(first, last - first)).value_or(0) * 1024;
  }
  return 0;
}

std::string json_line(const Json& value) {
  return without_controls(value.dump(-1, ' ', false, Json::error_handler_t::replace)) + '\n';
}

std::string json_line(const Json& object, const std::string& id) {
  std::string line = json_line(object);
  if (id.empty()) return line;
  std::string member = "\"id\":" + without_controls(id) + (object.empty() ? "" : ",");
  std::replace_if(
      member.begin(), member.end(), [](char c) { return c == '\t' || c == '\r'; },
      ' ');  // no text holds them bare
  return line.insert(1, member);
}

Json error_record(const Error& error, size_t line, size_t column) {
  Json what = {{"code", error_name(error.code)}, {"message", error.message}, {"line", line}};
  if (column > 0) what["column"] = column;
  return {{"version", 1}, {"line", line}, {"error", std::move(what)}};
}

}  // namespace lazyfill::cli
