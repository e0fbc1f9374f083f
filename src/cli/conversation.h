// From messages to the token ids of a conversation.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "lazyfill/engine.h"

namespace lazyfill::cli {

// Renders the model's chat template and tokenises what it gives. Control tokens come from the template alone:
// a message that spells one out, such as "<|im_end|>", stays text.
Result<std::vector<int32_t>> tokenize_conversation(const Engine& engine,
                                                   const std::vector<ChatMessage>& messages,
                                                   bool add_generation_prompt = true);
// The same with tools and messages as JSON; a call or a role that spells out a control token is an error.
Result<std::vector<int32_t>> tokenize_conversation(const Engine& engine, const ChatRequest& request);

// How many tokens at the beginning are the same.
size_t common_prefix(const std::vector<int32_t>& a, const std::vector<int32_t>& b);

}  // namespace lazyfill::cli
