// Grammars in llama.cpp's GBNF, as terms: rules may name themselves, the stack is what a term has yet to
// match. Beyond it: %json {...} stands for the JSON that fits a schema, and <name> or <[id]> for a token.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "decoding/terms.h"
#include "lazyfill/error.h"

namespace lazyfill {

struct Grammar {
  Term start = kNothing;
  std::vector<std::shared_ptr<void>> owned;  // what lazy rules of the term look at
  bool has_json = false;
  bool unique_items = false;  // a schema asks for arrays without equal items, which terms cannot know
  // JSON in which keys must differ begins behind these texts; with an empty one, at any bracket.
  std::vector<std::string> json_marks;
};

// The text by which a grammar's terms know a token: `name` is what stands between < and >. Empty: there is
// none.
using TokenTexts = std::function<std::string(std::string_view name)>;

// The term of the rule `root`. Errors tell the line, or the rule: one that is not defined, that begins with
// itself (left recursion), or that never ends.
Result<Grammar> parse_gbnf(Terms& terms, std::string_view grammar, const TokenTexts& token_texts = {});

}  // namespace lazyfill
