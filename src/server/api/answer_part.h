// An answer's text, as it comes, in parts: what is said, what is thought, and calls of tools.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace lazyfill::server {

struct AnswerPart {
  enum class Kind { kContent, kReasoning, kToolCall, kToolArguments };
  Kind kind = Kind::kContent;
  std::string text;  // content, reasoning, the name of what is called, or a piece of its arguments
  size_t call = 0;   // which one
};

}  // namespace lazyfill::server
