// JSON as it was written: where its values stand in the text, and where an error is.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "lazyfill/error.h"

namespace lazyfill::cli {

// Counted from 1, columns in characters.
struct TextPosition {
  size_t line = 1;
  size_t column = 1;
};
TextPosition position_of(std::string_view text, size_t byte);
std::string position_text(const TextPosition& position);  // line 3, column 14

// Where a text is no JSON, and why.
struct JsonFault {
  size_t byte = 0;
  std::string reason;
};
tl::expected<nlohmann::ordered_json, JsonFault> parse_json(std::string_view text);
// The same as one sentence: "WHAT is no JSON at line 3, column 14: ...".
Result<nlohmann::ordered_json> parse_json(std::string_view text, const std::string& what);

// A value in the text: the bytes from begin to end. Of an object's member also its name.
struct JsonSpan {
  std::string name;
  size_t begin = 0;
  size_t end = 0;
};
// The members of an object or the elements of an array, as far as the text is JSON. Numbers of any size and
// texts with any escapes pass.
std::vector<JsonSpan> json_spans(std::string_view text);

}  // namespace lazyfill::cli
