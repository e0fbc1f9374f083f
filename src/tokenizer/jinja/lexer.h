// Cuts a template into text and the tokens inside {{ }} and {% %}, with the whitespace rules that chat
// templates are written for: trim_blocks and lstrip_blocks on, a last line break dropped.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "lazyfill/error.h"

namespace lazyfill::jinja {

struct Token {
  enum class Type {
    kText,
    kOutputBegin,
    kOutputEnd,
    kBlockBegin,
    kBlockEnd,
    kName,
    kString,
    kInteger,
    kFloat,
    kOperator,
    kEnd
  };
  Type type = Type::kEnd;
  std::string text;  // the name, the operator, the digits, or the string without quotes and escapes
  size_t line = 1;

  bool is_operator(std::string_view wanted) const { return type == Type::kOperator && text == wanted; }
  bool is_name(std::string_view wanted) const { return type == Type::kName && text == wanted; }
};

// The last token is kEnd. Errors name the line.
Result<std::vector<Token>> tokenize(std::string_view source);

}  // namespace lazyfill::jinja
