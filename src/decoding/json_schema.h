// JSON Schema (draft 2020-12) as terms: the texts of the values that fit a schema.
#pragma once

#include <memory>
#include <string_view>

#include "decoding/terms.h"
#include "lazyfill/error.h"

namespace lazyfill {

struct JsonSchemaTerm {
  Term start = kNothing;
  std::shared_ptr<void> owned;  // what the term's lazy rules look at
  bool unique_items = false;    // the schema asks for arrays without equal items, which terms cannot know
};

// kInside: other terms are made beside it, and close() is the caller's.
enum class SchemaPlace { kAlone, kInside };

// Objects have their members in any order, and the caller sees to it that none has a key twice. Keywords that
// are not supported are refused by their name, as are references that lead out of the schema and schemas that
// are too large.
Result<JsonSchemaTerm> parse_json_schema(Terms& terms, std::string_view schema,
                                         SchemaPlace place = SchemaPlace::kAlone);

}  // namespace lazyfill
