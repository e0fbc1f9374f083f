// Grammars in llama.cpp's GBNF, as terms: rules may name themselves, the stack is what a term has yet to
// match.
#pragma once

#include <string_view>

#include "decoding/terms.h"
#include "lazyfill/error.h"

namespace lazyfill {

// The term of the rule `root`. Errors tell the line, or the rule: one that is not defined, that begins with
// itself (left recursion), or that never ends.
Result<Term> parse_gbnf(Terms& terms, std::string_view grammar);

}  // namespace lazyfill
