// What form an answer must have, in the words of each API.
#pragma once

#include "server/api/answer_request.h"
#include "server/api/fields.h"

namespace lazyfill::server {

// `response_format` of Chat Completions, and llama-server's and vLLM's `json_schema`, `grammar`,
// `guided_json`, `guided_regex`, `guided_choice`, `guided_grammar`. Errors stay in `fields`.
void read_response_format(Fields& fields, AnswerRequest& request);
// The same in Responses: `text.format`.
void read_text_format(Fields& fields, AnswerRequest& request);

}  // namespace lazyfill::server
