// The arguments of calls in a conversation, in the form that a chat template wants: OpenAI's interface has
// them as a text of JSON, transformers as an object, and templates are written for one of the two.
#pragma once

#include <string>

#include "lazyfill/error.h"
#include "tokenizer/chat_template.h"

namespace lazyfill {

// context.messages_json with the arguments of all calls as objects where the template can only show those, as
// texts where it can only show texts, and as they are where it can show both. Which is found by rendering the
// conversation with arguments of our own. Errors: arguments that are no JSON object where the template needs
// one.
Result<std::string> fit_tool_arguments(const ChatTemplate& chat_template,
                                       const ChatTemplate::Context& context);

}  // namespace lazyfill
