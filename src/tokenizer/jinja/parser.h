// From tokens to a tree: the statements and expressions that chat templates use.
#pragma once

#include <string_view>

#include "lazyfill/error.h"
#include "tokenizer/jinja/ast.h"

namespace lazyfill::jinja {

// Statements that make no sense in a chat template (import, include, extends, block...) are refused by name.
// Errors name the line.
Result<Body> parse(std::string_view source);

}  // namespace lazyfill::jinja
