// An API: how it asks for answers, and how they are written. The four of them are rows of one table
// (routes.cc).
#pragma once

#include <memory>

#include "lazyfill/engine.h"
#include "server/api/answer_request.h"
#include "server/http/http.h"

namespace lazyfill::server {

struct ReadRequest {
  AnswerRequest request;
  RenderedChat rendered;  // of a chat
};

struct Dialect {
  ApiResult<ReadRequest> (*read)(const Engine& engine, const Json& body);
  // Writes the answer to `reply`, as a stream where the request says so. The engine outlives it.
  std::unique_ptr<AnswerWriter> (*writer)(const Engine& engine, const AnswerRequest& request,
                                          std::shared_ptr<Reply> reply);
  Json (*error)(const ApiError& error);
};

extern const Dialect kChatCompletions;
extern const Dialect kCompletions;
extern const Dialect kResponses;
extern const Dialect kMessages;
extern const Dialect kInfill;

// Messages and tools of Anthropic's form in OpenAI's; count_tokens renders the same.
ApiResult<ReadRequest> read_messages_prompt(const Engine& engine, const Json& body);

}  // namespace lazyfill::server
