// What form an answer must have, in the words of each API: it becomes a guide.
#pragma once

#include "lazyfill/engine.h"
#include "server/api/answer_request.h"
#include "server/api/fields.h"

namespace lazyfill::server {

// `response_format` of Chat Completions; `json_schema` and `grammar` as llama-server has them; `guided_json`,
// `guided_regex`, `guided_choice`, `guided_grammar` and `structured_outputs` as vLLM does. One of them at
// most. Errors stay in `fields`: a form that cannot be kept to is refused before anything is computed.
void read_response_format(const Engine& engine, Fields& fields, AnswerRequest& request);
// The same in Responses, `text.format`, and in Messages, `output_config.format` or `output_format`.
void read_text_format(const Engine& engine, Fields& fields, AnswerRequest& request);
void read_output_format(const Engine& engine, Fields& fields, AnswerRequest& request);

}  // namespace lazyfill::server
