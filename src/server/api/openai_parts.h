// Pieces of JSON that OpenAI's two completion APIs share.
#pragma once

#include "lazyfill/engine.h"
#include "server/api/answer_request.h"

namespace lazyfill::server {

Json usage_json(const Answered& answered);
Json tool_call_json(const ToolCall& call);
// [{token, logprob, bytes, top_logprobs}]
Json logprobs_json(const Engine& engine, const std::vector<TokenChoice>& choices);

}  // namespace lazyfill::server
