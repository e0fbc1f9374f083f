#include "conversation/conversation.h"

#include <algorithm>

namespace lazyfill {

Result<std::vector<int32_t>> tokenize_conversation(const Engine& engine,
                                                   const std::vector<ChatMessage>& messages,
                                                   bool add_generation_prompt) {
  return tokenize_conversation(engine,
                               {.messages = messages, .add_generation_prompt = add_generation_prompt});
}

Result<std::vector<int32_t>> tokenize_conversation(const Engine& engine, const ChatRequest& request,
                                                   bool special) {
  if (!special) return engine.tokenize_chat(request);
  // Templates write BOS themselves where the model wants one.
  return engine.apply_chat_template(request).and_then(
      [&engine](const std::string& text) { return engine.tokenize(text, false, true); });
}

size_t common_prefix(const std::vector<int32_t>& a, const std::vector<int32_t>& b) {
  const size_t shorter = std::min(a.size(), b.size());
  return static_cast<size_t>(
      std::mismatch(a.begin(), a.begin() + static_cast<ptrdiff_t>(shorter), b.begin()).first - a.begin());
}

}  // namespace lazyfill
