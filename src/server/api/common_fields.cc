#include "server/api/common_fields.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <string_view>
#include <utility>

#include "base/characters.h"
#include "lazyfill/policies.h"

namespace lazyfill::server {
namespace {

constexpr int64_t kMaxTokens = int64_t{1} << 24;
constexpr size_t kMaxStops = 64;
constexpr size_t kMaxStopBytes = 1024;
constexpr size_t kMaxBiases = 4096;

void read_max_tokens(Fields& fields, AnswerRequest& request) {
  // -1 stands for "no limit" with llama-server's clients.
  const int64_t n = fields.integer({"max_completion_tokens", "max_output_tokens", "max_tokens", "n_predict"},
                                   -1, -1, kMaxTokens);
  request.has_max_tokens = n >= 0;
  if (n >= 0) request.options.max_tokens = static_cast<size_t>(n);
  if (n == 0) fields.refuse("max_tokens must be at least 1", "max_tokens");
}

std::optional<int32_t> token_id(std::string_view text) {
  int32_t id = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return id;
}

// {"123": -100}, or llama-server's [[123, -100], [456, false]].
void read_logit_bias(Fields& fields, SamplingOptions& sampling) {
  const Json* biases = fields.any({"logit_bias"});
  if (biases == nullptr) return;
  const auto refuse = [&] {
    fields.refuse("logit_bias must give each token id a number from -100 to 100: {\"123\": -100}",
                  "logit_bias");
  };
  if (!biases->is_structured() || biases->size() > kMaxBiases) return refuse();
  for (const auto& [key, value] : biases->items()) {
    const bool is_pair = biases->is_array();
    if (is_pair && (!value.is_array() || value.size() != 2)) return refuse();
    const Json& number = is_pair ? value[1] : value;
    std::optional<int32_t> id;
    if (!is_pair) {
      id = token_id(key);
    } else if (value[0].is_number_integer()) {
      id = token_id(value[0].dump());
    }
    const bool is_ban = is_pair && number.is_boolean() && !number.get<bool>();
    if (!id || (!number.is_number() && !is_ban)) return refuse();
    const double bias = is_ban ? -100 : number.get<double>();
    if (!(bias >= -100 && bias <= 100)) return refuse();
    sampling.logit_bias.push_back(
        {*id, bias <= -100 ? -std::numeric_limits<float>::infinity() : static_cast<float>(bias)});
  }
}

void read_penalties(Fields& fields, SamplingOptions& sampling) {
  const auto real = [&](Fields::Names names, float& target, double min, double max) {
    target = static_cast<float>(fields.number(names, target, min, max));
  };
  real({"repeat_penalty", "repetition_penalty"}, sampling.repeat_penalty, 0.01, 10);
  real({"presence_penalty"}, sampling.presence_penalty, -2, 2);
  real({"frequency_penalty"}, sampling.frequency_penalty, -2, 2);
  real({"dry_multiplier"}, sampling.dry_multiplier, 0, 100);
  real({"dry_base"}, sampling.dry_base, 1, 100);
  sampling.repeat_last_n = fields.integer({"repeat_last_n"}, sampling.repeat_last_n, -1, kMaxTokens);
}

void read_sampling(Fields& fields, SamplingOptions& sampling) {
  sampling.temperature = static_cast<float>(fields.number({"temperature"}, sampling.temperature, 0, 100));
  const int64_t top_k = fields.integer({"top_k"}, static_cast<int64_t>(sampling.top_k), -1, 1 << 24);
  sampling.top_k = static_cast<size_t>(std::max<int64_t>(top_k, 0));
  sampling.top_p = static_cast<float>(fields.number({"top_p"}, sampling.top_p, 0, 1));
  sampling.min_p = static_cast<float>(fields.number({"min_p"}, sampling.min_p, 0, 1));
  const int64_t seed =
      fields.integer({"seed"}, -1, std::numeric_limits<int64_t>::min(), std::numeric_limits<int64_t>::max());
  sampling.seed = seed == -1 ? 0 : static_cast<uint64_t>(seed);
  read_penalties(fields, sampling);
  read_logit_bias(fields, sampling);
}

void read_draft(Fields& fields, GenerateOptions& options) {
  const std::string draft = fields.text({"draft"}, "none");
  constexpr std::pair<std::string_view, Draft> kDrafts[] = {{"none", Draft::kNone},
                                                            {"recycle", Draft::kRecycle},
                                                            {"lookup", Draft::kLookup},
                                                            {"auto", Draft::kAuto}};
  const auto* known = std::find_if(std::begin(kDrafts), std::end(kDrafts),
                                   [&](const auto& one) { return one.first == draft; });
  if (known == std::end(kDrafts))
    return fields.refuse("draft must be none, recycle, lookup or auto", "draft");
  options.draft = known->second;
}

void read_keep_tokens(Fields& fields, Fields& holder, LazyOptions& lazy) {
  const int64_t n = holder.integer({"keep_tokens"}, 0, 1, kMaxTokens);
  if (n > 0) lazy.schedule = "50%:@" + std::to_string(n);
  if (holder.error()) fields.refuse(holder.error()->message, "lazy");
}

}  // namespace

void read_lazy(Fields& fields, LazyOptions& lazy) {
  const Json* value = fields.any({"lazy"});
  if (value == nullptr) return;
  if (value->is_string()) {
    lazy.schedule = value->get<std::string>();
  } else if (value->is_boolean()) {
    lazy.schedule = value->get<bool>() ? "auto" : "off";
  } else if (value->is_number()) {
    const Json wrapped = {{"keep_tokens", *value}};
    Fields holder(wrapped, "lazy.");
    read_keep_tokens(fields, holder, lazy);
  } else if (value->is_object()) {
    Fields holder(*value, "lazy.");
    lazy.schedule = holder.text({"schedule"}, lazy.schedule);
    const std::string policy = holder.text({"policy"});
    if (!policy.empty()) {
      if (const auto known = policy_from_name(policy)) {
        lazy.policy = *known;
      } else {
        fields.refuse("lazy.policy: " + known.error().message, "lazy.policy");
      }
    }
    read_keep_tokens(fields, holder, lazy);
  } else {
    fields.refuse(
        "lazy must be off, auto, fast, a schedule such as 9:0.5, a number of tokens, or an object with one "
        "of them",
        "lazy");
  }
}

void read_common_fields(Fields& fields, AnswerRequest& request) {
  request.model = fields.text({"model"});
  request.streams = fields.flag({"stream"}, false);
  request.with_progress = fields.flag({"return_progress"}, false);
  request.with_kept = fields.flag({"return_kept"}, false);
  request.parse_special = fields.flag({"parse_special"}, false);
  request.cache_prompt = fields.flag({"cache_prompt"}, true);
  request.cache_salt = fields.text({"cache_salt"});
  if (count_characters(request.cache_salt) > 64)
    fields.refuse("cache_salt is longer than 64 characters", "cache_salt");
  request.n_choices = static_cast<size_t>(fields.integer({"n"}, 1, 1, kMaxChoices));
  request.options.stop = fields.texts({"stop", "stop_sequences"}, kMaxStops, kMaxStopBytes);
  request.options.stop_at_end_token = !fields.flag({"ignore_eos"}, false);
  request.max_predict_ms = fields.integer({"t_max_predict_ms"}, 0, 0, std::numeric_limits<int32_t>::max());
  read_max_tokens(fields, request);
  read_sampling(fields, request.options.sampling);
  read_lazy(fields, request.lazy);
  read_draft(fields, request.options);
}

std::string template_variables(Fields& fields) {
  Json variables = Json::object();
  if (const Json* given = fields.object({"chat_template_kwargs"})) variables = *given;
  for (const char* name : {"enable_thinking", "preserve_thinking"})
    if (fields.has(name)) variables[name] = fields.flag({name}, true);
  if (fields.has("reasoning_effort")) variables["reasoning_effort"] = fields.text({"reasoning_effort"});
  return variables.empty() ? std::string() : variables.dump();
}

}  // namespace lazyfill::server
