#include "server/api/openai_parts.h"

namespace lazyfill::server {
namespace {

Json logprob_json(const Engine& engine, const TokenLogprob& token) {
  const std::string piece = engine.piece(token.id);
  Json bytes = Json::array();
  for (const char c : piece) bytes.push_back(static_cast<unsigned char>(c));
  return {{"token", piece}, {"logprob", token.logprob}, {"bytes", std::move(bytes)}};
}

}  // namespace

Json usage_json(const Answered& answered) {
  const size_t n_completion = answered.n_completion_tokens();
  return {{"prompt_tokens", answered.n_prompt_tokens},
          {"completion_tokens", n_completion},
          {"total_tokens", answered.n_prompt_tokens + n_completion},
          {"prompt_tokens_details", {{"cached_tokens", answered.n_cached_tokens}}},
          {"completion_tokens_details", {{"reasoning_tokens", answered.n_reasoning_tokens()}}}};
}

Json tool_call_json(const ToolCall& call) {
  return {{"id", call.id},
          {"type", "function"},
          {"function", {{"name", call.name}, {"arguments", call.arguments}}}};
}

Json logprobs_json(const Engine& engine, const std::vector<TokenChoice>& choices) {
  Json list = Json::array();
  for (const TokenChoice& choice : choices) {
    Json one = logprob_json(engine, choice.chosen);
    one["top_logprobs"] = Json::array();
    for (const TokenLogprob& rival : choice.top) one["top_logprobs"].push_back(logprob_json(engine, rival));
    list.push_back(std::move(one));
  }
  return list;
}

}  // namespace lazyfill::server
