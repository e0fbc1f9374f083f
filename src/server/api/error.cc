#include "server/api/error.h"

namespace lazyfill::server {
namespace {

ApiError of_status(int status, std::string type, std::string code, std::string message) {
  ApiError error;
  error.status = status;
  error.type = std::move(type);
  error.code = std::move(code);
  error.message = std::move(message);
  return error;
}

// Anthropic has a fixed list of kinds.
std::string anthropic_type(const ApiError& error) {
  switch (error.status) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 404:
      return "not_found_error";
    case 413:
      return "request_too_large";
    case 429:
      return "rate_limit_error";
    case 503:
      return "overloaded_error";
    default:
      return error.status < 500 ? "invalid_request_error" : "api_error";
  }
}

// It has no code for a full context: clients tell it by its words, and read the numbers.
std::string anthropic_message(const ApiError& error) {
  if (error.code != "context_length_exceeded") return error.message;
  std::string counts;
  if (error.more.contains("n_prompt_tokens"))
    counts = error.more["n_prompt_tokens"].dump() + " tokens > " + error.more["n_ctx"].dump() + " maximum; ";
  return "prompt is too long: " + counts + error.message;
}

}  // namespace

ApiError bad_request(std::string message, std::string param, std::string code) {
  ApiError error;
  error.message = std::move(message);
  error.param = std::move(param);
  error.code = std::move(code);
  return error;
}

ApiError api_error(const Error& error) {
  switch (error.code) {
    case ErrorCode::kInvalidArgument:
    case ErrorCode::kInvalidFile:
    case ErrorCode::kUnsupported:
      return bad_request(error.message);
    case ErrorCode::kNotFound:
      return of_status(404, "not_found_error", "not_found", error.message);
    case ErrorCode::kContextExceeded:
      return bad_request(error.message, {}, "context_length_exceeded");
    case ErrorCode::kOutOfMemory:
      return of_status(503, "server_error", "out_of_memory", error.message);
    case ErrorCode::kCancelled:
      return of_status(503, "server_error", "cancelled", error.message);
    case ErrorCode::kBusy:
      return of_status(429, "rate_limit_error", "busy", error.message);
  }
  return of_status(500, "server_error", "", error.message);
}

ApiError context_exceeded(size_t n_prompt_tokens, size_t n_ctx) {
  // Clients tell this error by OpenAI's words for it.
  ApiError error =
      bad_request("this model's maximum context length is " + std::to_string(n_ctx) +
                      " tokens, and the request has " + std::to_string(n_prompt_tokens) +
                      " where the answer needs one more; shorten it, or start the server with a larger --ctx",
                  {}, "context_length_exceeded");
  error.more = {{"n_prompt_tokens", n_prompt_tokens}, {"n_ctx", n_ctx}};
  return error;
}

Json openai_error(const ApiError& error) {
  Json body = {{"message", error.message},
               {"type", error.type},
               {"param", error.param.empty() ? Json(nullptr) : Json(error.param)},
               {"code", error.code.empty() ? Json(nullptr) : Json(error.code)}};
  body.update(error.more);
  return {{"error", std::move(body)}};
}

Json anthropic_error(const ApiError& error) {
  Json body = {{"type", anthropic_type(error)}, {"message", anthropic_message(error)}};
  body.update(error.more);
  return {{"type", "error"}, {"error", std::move(body)}};
}

}  // namespace lazyfill::server
