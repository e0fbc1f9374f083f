// Values from JSON texts: messages, tools and variables as callers hand them over.
#pragma once

#include <string_view>

#include "lazyfill/error.h"
#include "tokenizer/jinja/value.h"

namespace lazyfill::jinja {

// `what` begins the error sentences, such as "the tools". Errors: no JSON, invalid UTF-8, nested deeper than
// 60, whole numbers beyond 64 bits, objects of more than 4096 members.
Result<Value> from_json(std::string_view json, std::string_view what);

}  // namespace lazyfill::jinja
