// What fills in the middle of a text, by whichever API.
#pragma once

#include "server/api/answer_request.h"
#include "server/api/fields.h"

namespace lazyfill::server {

// `fim`: native, the default, or constrained.
void read_infill_form(Fields& fields, InfillRequest& infill);
// Makes the prompt's tokens and the answer's guide of request.infill, cut to what the context holds.
ApiResult<void> prepare_infill(const Engine& engine, AnswerRequest& request, size_t n_ctx);

}  // namespace lazyfill::server
