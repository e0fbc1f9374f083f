// What a request is refused with: one sentence, and how each API writes it.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <tl/expected.hpp>
#include <utility>

#include "lazyfill/error.h"

namespace lazyfill::server {

using Json = nlohmann::ordered_json;  // tools and schemas reach the model in the order that the client wrote

struct ApiError {
  int status = 400;
  std::string type = "invalid_request_error";  // OpenAI's and Anthropic's word for the kind
  std::string code;                            // "context_length_exceeded"; empty: none
  std::string message;                         // one sentence; never raw bytes of the request
  std::string param;                           // the field that is wrong; empty: none in particular
  Json more = Json::object();                  // further members: both counts of an overflow
};

template <class T>
using ApiResult = tl::expected<T, ApiError>;

ApiError bad_request(std::string message, std::string param = {}, std::string code = {});
inline tl::unexpected<ApiError> refuse(std::string message, std::string param = {}) {
  return tl::unexpected(bad_request(std::move(message), std::move(param)));
}
// 400, 404, 429, 499, 500 or 503 by the code.
ApiError api_error(const Error& error);
// In llama-server's words too: n_prompt_tokens and n_ctx.
ApiError context_exceeded(size_t n_prompt_tokens, size_t n_ctx);

Json openai_error(const ApiError& error);
Json anthropic_error(const ApiError& error);

}  // namespace lazyfill::server
