// OpenAI's Responses in two files: what is asked, and what is answered.
#pragma once

#include "server/api/dialect.h"

namespace lazyfill::server {

ApiResult<ReadRequest> read_responses(const Engine& engine, const Json& body);

}  // namespace lazyfill::server
