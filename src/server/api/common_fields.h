// Fields that all APIs share: sampling, stop texts, laziness, the prompt cache. Names are OpenAI's where it
// has one, else llama-server's.
#pragma once

#include "server/api/answer_request.h"
#include "server/api/fields.h"

namespace lazyfill::server {

inline constexpr int64_t kMaxChoices = 8;
inline constexpr int64_t kMaxTopLogprobs = 20;

// Errors stay in `fields`.
void read_common_fields(Fields& fields, AnswerRequest& request);

// "off", "auto", "fast", a schedule, a number of tokens to keep, true or false, or an object with `schedule`
// or `keep_tokens` and `policy`.
void read_lazy(Fields& fields, LazyOptions& lazy);

// An object for the chat template from `chat_template_kwargs`, `enable_thinking` and `reasoning_effort`;
// empty where none is given.
std::string template_variables(Fields& fields);

}  // namespace lazyfill::server
