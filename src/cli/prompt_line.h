// One line of `run --jsonl`.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "lazyfill/error.h"

namespace lazyfill::cli {

struct PromptLine {
  std::string prompt;                  // empty with a document or messages
  std::string messages;                // a whole conversation, as the line has it: a JSON array
  std::string continuation;            // to be scored in place of an answer; empty: none
  std::string document;                // with at least one question
  std::vector<std::string> questions;  // asked one after another
  std::vector<std::string> flags;      // for this line, after those of the command line
  size_t flags_byte = 0;               // where they stand in the line
};

struct LineFault {
  Error error;
  size_t byte = 0;  // where in the line
};

// What a line says. Its "id" is known also where the rest cannot be used.
struct ParsedLine {
  std::string id;  // JSON, as the line has it: a number of any size keeps its digits; empty: none
  tl::expected<PromptLine, LineFault> prompt;
};
ParsedLine parse_prompt_line(std::string_view line);

}  // namespace lazyfill::cli
