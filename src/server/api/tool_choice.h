// Whether and which tools must be called: `tool_choice`, `parallel_tool_calls` and `strict` of every API.
#pragma once

#include "server/api/answer_request.h"

namespace lazyfill::server {

// tools: normalised; given: as the client sent them, which is where `strict` stands. choice: "auto", "none",
// "required" or "any", one function by its name, or {"type": "allowed_tools"}; null: auto. Errors: none of
// these, a name that no tool has.
ApiResult<ToolRules> tool_rules(const Json& tools, const Json* given, const Json* choice, bool has_one_call);

// Makes the rules a guide of the answer: calls in the family's own form, arguments after the tools' schemas.
// syntax: of the prompt. Errors: a schema that cannot be kept to, of a tool that is strict; a model of which
// it is not known how it calls.
ApiResult<void> guide_calls(const Engine& engine, const AnswerSyntax& syntax, AnswerRequest& request);

}  // namespace lazyfill::server
