#include "server/introspection.h"

#include <algorithm>
#include <array>
#include <ctime>
#include <utility>

#include "server/api/fields.h"
#include "server/api/responses.h"

namespace lazyfill::server {

namespace {

// 2026-11-28T12:00:00Z
std::string date_text(int64_t time_s) {
  const auto time = static_cast<std::time_t>(time_s);
  std::tm parts{};
  gmtime_r(&time, &parts);
  std::array<char, 32> text{};
  std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text.data();
}

// In OpenAI's form and in Anthropic's at once: they share no member that they fill differently.
Json model_json(const Service& service, const Loaded& loaded) {
  const ModelInfo& info = loaded.engine.info();
  const std::string& name = loaded.options.model_name;
  return {{"id", name},
          {"object", "model"},
          {"created", service.started_s},
          {"owned_by", "lazyfill"},
          {"type", "model"},
          {"display_name", name},
          {"created_at", date_text(service.started_s)},
          {"lifecycle", "active"},
          {"max_input_tokens", loaded.options.n_ctx},
          {"max_model_len", loaded.options.n_ctx},
          {"meta",
           {{"n_ctx", loaded.options.n_ctx},
            {"n_ctx_train", info.context_length},
            {"n_vocab", info.n_vocab},
            {"n_embd", info.d_model},
            {"n_params", info.n_parameters},
            {"size", info.file_bytes}}}};
}

}  // namespace

Json models(const Service& service, const Loaded& loaded) {
  const std::string& name = loaded.options.model_name;
  Json known = {
      {"name", name}, {"model", name}, {"slug", name}, {"capabilities", Json::array({"completion"})}};
  return {{"object", "list"},
          {"data", Json::array({model_json(service, loaded)})},
          {"models", Json::array({std::move(known)})},
          {"has_more", false},
          {"first_id", name},
          {"last_id", name}};
}

ApiResult<Json> model(const Service& service, const Loaded& loaded, std::string_view name) {
  if (name == loaded.options.model_name) return model_json(service, loaded);
  ApiError error = bad_request("there is no model of that name here; /v1/models lists the one that there is",
                               "model", "model_not_found");
  error.status = 404;
  error.type = "not_found_error";
  return tl::unexpected(std::move(error));
}

Json props(const Service& service, const Loaded& loaded) {
  const ModelInfo& info = loaded.engine.info();
  const SamplingOptions sampling;
  return {{"default_generation_settings",
           {{"n_ctx", loaded.options.n_ctx},
            {"params",
             {{"temperature", sampling.temperature},
              {"top_k", sampling.top_k},
              {"top_p", sampling.top_p},
              {"min_p", sampling.min_p},
              {"n_predict", loaded.options.default_max_tokens},
              {"lazy", loaded.lazy.schedule}}}}},
          {"total_slots", loaded.scheduling.max_sequences},
          {"model_alias", loaded.options.model_name},
          {"model",
           {{"name", info.name},
            {"architecture", info.architecture},
            {"n_parameters", info.n_parameters},
            {"n_layers", info.n_layers},
            {"context_length", info.context_length},
            {"prunable_layers", info.prunable_layers},
            {"fingerprint", info.fingerprint},
            {"isa", info.isa},
            {"has_chat_template", info.has_chat_template}}},
          {"modalities", {{"vision", false}, {"audio", false}}},
          {"build_info", "lazyfill " + service.version}};
}

// One for each answer that may be computed at a time, the idle ones too, as llama-server has them. What was
// asked is nobody else's business.
Json slots(const Service&, const Loaded& loaded) {
  const std::vector<RunningAnswer> running = loaded.answers.running();
  Json list = Json::array();
  const size_t n_slots = std::max(loaded.scheduling.max_sequences, running.size());
  for (size_t i = 0; i < n_slots; ++i) {
    Json slot = {{"id", i}, {"n_ctx", loaded.options.n_ctx}, {"is_processing", i < running.size()}};
    if (i < running.size()) {
      const RunningAnswer& answer = running[i];
      slot["state"] = answer.is_prefilling ? "prefill" : "decode";
      slot["n_prompt_tokens"] = answer.n_prompt_tokens;
      slot["n_cached_tokens"] = answer.n_cached_tokens;
      slot["n_decoded"] = answer.n_generated_tokens;
      slot["n_choices"] = answer.n_choices;
      slot["running_s"] = answer.running_s;
    }
    list.push_back(std::move(slot));
  }
  return list;
}

ApiResult<Json> tokenize(const Loaded& loaded, const Json& body) {
  Fields fields(body);
  const std::string text = fields.text({"content", "prompt"});
  const bool add_special = fields.flag({"add_special"}, false);
  const bool parse_special = fields.flag({"parse_special"}, false);
  const bool with_pieces = fields.flag({"with_pieces"}, false);
  if (!fields.has("content") && !fields.has("prompt")) fields.refuse("content is missing", "content");
  if (fields.error()) return tl::unexpected(*fields.error());
  auto tokens = loaded.engine.tokenize(text, add_special, parse_special);
  if (!tokens) return tl::unexpected(api_error(tokens.error()));
  Json list = Json::array();
  for (const int32_t id : *tokens) {
    list.push_back(with_pieces ? Json{{"id", id}, {"piece", loaded.engine.piece(id)}} : Json(id));
  }
  return Json{
      {"tokens", std::move(list)}, {"count", tokens->size()}, {"max_model_len", loaded.options.n_ctx}};
}

ApiResult<Json> detokenize(const Loaded& loaded, const Json& body) {
  Fields fields(body);
  const Json* tokens = fields.array({"tokens"});
  if (tokens == nullptr) fields.refuse("tokens is missing", "tokens");
  if (fields.error()) return tl::unexpected(*fields.error());
  const auto n_tokens = loaded.engine.info().n_tokens;
  std::vector<int32_t> ids;
  for (const Json& id : *tokens) {
    if (!id.is_number_unsigned() || id.get<uint64_t>() >= n_tokens)
      return refuse("tokens must be ids from 0 to " + std::to_string(n_tokens - 1), "tokens");
    ids.push_back(id.get<int32_t>());
  }
  const std::string text = loaded.engine.detokenize(ids, true);
  return Json{{"content", text}, {"prompt", text}};
}

ApiResult<Json> apply_template(const Loaded& loaded, const Json& body) {
  // Rendering is what a request of Chat Completions begins with.
  auto read = kChatCompletions.read(loaded.engine, body);
  if (!read) return tl::unexpected(read.error());
  return Json{{"prompt", read->rendered.text}};
}

ApiResult<Json> count_tokens(const Loaded& loaded, const Json& body) {
  auto read = read_messages_prompt(loaded.engine, body);
  if (!read) return tl::unexpected(read.error());
  auto tokens = loaded.engine.tokenize_chat(read->rendered);
  if (!tokens) return tl::unexpected(api_error(tokens.error()));
  return Json{{"input_tokens", tokens->size()}};
}

ApiResult<Json> count_input_tokens(const Loaded& loaded, const Json& body) {
  auto read = read_responses(loaded.engine, body);
  if (!read) return tl::unexpected(read.error());
  auto tokens = loaded.engine.tokenize_chat(read->rendered);
  if (!tokens) return tl::unexpected(api_error(tokens.error()));
  return Json{{"object", "response.input_tokens"}, {"input_tokens", tokens->size()}};
}

}  // namespace lazyfill::server
