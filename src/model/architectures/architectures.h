// One function an architecture. To add one: write it beside these, declare it here, and name it in the table
// of
// ../config.cc.
#pragma once

#include "model/config.h"

namespace lazyfill::architectures {

// Sizes that every architecture states under "ARCH.*", read and range-checked; RoPE, windows and the rest are
// left at plain Llama's values for the caller to change.
Result<ModelConfig> common(const gguf::File& file, const std::string& architecture);

Result<ModelConfig> llama(const gguf::File& file);   // Llama 2 (arXiv 2307.09288) and its many kin
Result<ModelConfig> gemma3(const gguf::File& file);  // Gemma 3 technical report (arXiv 2503.19786)

}  // namespace lazyfill::architectures
