// Regular expressions in the syntax that PCRE, Python and ECMAScript have in common, as terms.
#pragma once

#include <string_view>

#include "decoding/charset.h"
#include "decoding/terms.h"
#include "lazyfill/error.h"

namespace lazyfill {

enum class RegexMatch {
  kWhole,   // the pattern matches all of the text
  kSearch,  // it matches some part, as "pattern" of JSON Schema means it
};

// Back-references, look-around, word boundaries, atomic groups and inline flags are refused by their names;
// anchors are known where an alternative of the whole pattern begins or ends. \d, \w and \s are those of
// ECMAScript. The error tells the byte.
Result<Term> parse_regex(Terms& terms, std::string_view pattern, RegexMatch match,
                         CharacterTerm character = utf8_term);

}  // namespace lazyfill
