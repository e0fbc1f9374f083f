// From messages to the token ids of a conversation.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "lazyfill/engine.h"

namespace lazyfill {

// What the model's chat template makes of the messages, as tokens.
Result<std::vector<int32_t>> tokenize_conversation(const Engine& engine,
                                                   const std::vector<ChatMessage>& messages,
                                                   bool add_generation_prompt = true);
// The same with tools and messages as JSON. special: control tokens that the messages spell out are taken as
// such too.
Result<std::vector<int32_t>> tokenize_conversation(const Engine& engine, const ChatRequest& request,
                                                   bool special = false);

// How many tokens at the beginning are the same.
size_t common_prefix(const std::vector<int32_t>& a, const std::vector<int32_t>& b);

}  // namespace lazyfill
