// Prompts for the middle of a text: what stands before and behind a cursor becomes tokens (docs/fim.md).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "lazyfill/engine.h"

namespace lazyfill {

enum class InfillForm {
  kNative,       // by the model's own tokens; an error where it has none
  kConstrained,  // whole lines, held to what the cut lines say; any model
};

struct InfillFile {
  std::string name;
  std::string text;
};

struct InfillRequest {
  std::string prefix;
  std::string suffix;
  std::vector<InfillFile> files;  // other ones, the most helpful last
  InfillForm form = InfillForm::kNative;
  std::string how_to_wish;  // how a caller asks for kConstrained, for the error: "--fim constrained"
};

struct InfillPrompt {
  std::vector<int32_t> tokens;
  GuideOptions guide;         // of the answer, whose text is then the middle alone; kNone in the native form
  size_t n_bound_tokens = 0;  // of the output that are no part of the middle
};

// A text around a cursor, by lines. Joined in this order the four are prefix and suffix again.
struct CutLines {
  std::string_view before;  // whole lines of the prefix
  std::string_view begin;   // what the cursor's line begins with
  std::string_view end;     // how the line goes on behind it, with its line break
  std::string_view behind;  // whole lines of the suffix
};
// Of a line that is very long only its parts near the cursor count as begin and end.
CutLines cut_lines(std::string_view prefix, std::string_view suffix);

// Where prompt and files are longer than max_tokens, what is furthest from the cursor is left out: files
// first. Errors: the model has no tokens for it; a text is not valid UTF-8.
Result<InfillPrompt> make_infill_prompt(const Engine& engine, const InfillRequest& request,
                                        size_t max_tokens);

}  // namespace lazyfill
