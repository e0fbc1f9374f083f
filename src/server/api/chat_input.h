// Conversations as clients send them, made into what chat templates take.
#pragma once

#include <string>
#include <vector>

#include "lazyfill/engine.h"
#include "server/api/answer_request.h"

namespace lazyfill::server {

// OpenAI's messages: contents in parts become one text, `developer` becomes `system`, reasoning is found
// under either of its names. Errors: no array, a message without a role, a part that is no text.
ApiResult<Json> normalised_messages(const Json& messages);
// Functions in the form of Chat Completions; what is no function, such as a built-in tool, is left out.
ApiResult<Json> normalised_tools(const Json& tools);
// The answer as a message of the history, as fit_chat() made those before it.
Json message_of(const Choice& choice, bool tools_in_text);

// Fills in request.chat. Where the model's template refuses the conversation as it is, system messages in the
// middle become the user's in place, then all of them do, then neighbours of one role are joined. Tools that
// the template knows nothing of are described in a system message instead. Errors: the template's own, when
// nothing helps.
ApiResult<RenderedChat> fit_chat(const Engine& engine, Json messages, const Json& tools,
                                 std::string variables_json, bool add_generation_prompt,
                                 AnswerRequest& request);

}  // namespace lazyfill::server
