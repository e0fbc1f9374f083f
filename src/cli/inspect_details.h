// What `inspect` says of a model's tokeniser, chat template and memory.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "gguf/file.h"
#include "lazyfill/error.h"

namespace lazyfill::cli {

using Json = nlohmann::ordered_json;

// Kind, sizes, pre-tokeniser and special tokens; {"can_run": false, "reason": ...} where this build cannot
// use it.
Json tokenizer_json(const gguf::File& file);

// Whether there is a chat template, whether it can be rendered, whose format it looks like, and its first
// line.
Json chat_template_json(const gguf::File& file);

// The instruction set of the kernels that would run, and those that this machine lacks with what it lacks;
// {"can_run": false, "reason": ...} where LAZYFILL_ISA asks for what there is not.
Json kernels_json();

// Weights, and for each context the keys and values of a dense prefill, those of them that a token decoded
// there sees, and the states on their way up the layers. `context_tokens` 0: some lengths up to the model's
// own. Null where the architecture is not known; an error where more is asked for than the model has.
Result<Json> memory_json(const gguf::File& file, size_t context_tokens);

// Exposed for tests: the published chat format that a template's control tokens belong to, else "".
std::string_view recognise_format(std::string_view chat_template);
// "0-4, 6, 9-11"
std::string ranges_text(const std::vector<size_t>& ascending);

}  // namespace lazyfill::cli
