// One line of `run --jsonl`.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "lazyfill/error.h"

namespace lazyfill::cli {

struct PromptLine {
  std::string prompt;                  // empty with a document
  std::string continuation;            // to be scored in place of an answer; empty: none
  std::string document;                // with at least one question
  std::vector<std::string> questions;  // asked one after another
  std::vector<std::string> flags;      // for this line, after those of the command line
  nlohmann::ordered_json id;           // copied into the record where the line has one
};

// Errors read on after "line 3 of FILE: ".
Result<PromptLine> parse_prompt_line(const std::string& line);

}  // namespace lazyfill::cli
