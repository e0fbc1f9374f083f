// Conversations that users write as JSON: what is a message and what is not.
#pragma once

#include <string>
#include <string_view>

#include "lazyfill/engine.h"
#include "lazyfill/error.h"

namespace lazyfill::cli {

// What is wrong with a JSON array of messages, and the byte where; empty: nothing. Each is an object with a
// "role" and with what it says.
struct MessagesFault {
  std::string sentence;
  size_t byte = 0;
};
MessagesFault find_fault_in_messages(std::string_view array);

// Whether the model's template writes a content in parts as a list, as Python prints one or in JSON, which
// no model was trained on: one that knows no parts.
bool prints_parts_as_list(const Engine& engine, const ChatRequest& request);

}  // namespace lazyfill::cli
