#include "cli/conversation.h"

#include <algorithm>
#include <string>

namespace lazyfill::cli {
namespace {

// Templates may trim what they put in.
std::string_view trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

Result<bool> spells_control_token(const Engine& engine, std::string_view text) {
  auto as_text = engine.tokenize(text, false, false);
  if (!as_text) return tl::unexpected(as_text.error());
  auto as_control = engine.tokenize(text, false, true);
  if (!as_control) return tl::unexpected(as_control.error());
  return *as_text != *as_control;
}

Result<void> append(const Engine& engine, std::string_view text, bool parse_special,
                    std::vector<int32_t>& ids) {
  if (text.empty()) return {};
  auto part = engine.tokenize(text, false, parse_special);
  if (!part) return tl::unexpected(part.error());
  ids.insert(ids.end(), part->begin(), part->end());
  return {};
}

// The template's own text with, the messages' text without control tokens.
Result<std::vector<int32_t>> tokenize_apart(const Engine& engine, std::string_view rendered,
                                            const std::vector<ChatMessage>& messages) {
  std::vector<int32_t> ids;
  size_t at = 0;
  for (const ChatMessage& message : messages) {
    const std::string_view content = trimmed(message.content);
    const size_t found = rendered.find(content, at);
    if (found == std::string_view::npos) {
      return fail(
          ErrorCode::kInvalidArgument,
          "a message spells out control tokens of the model, and its chat template changes the message: "
          "remove those tokens from the text");
    }
    if (auto done = append(engine, rendered.substr(at, found - at), true, ids); !done)
      return tl::unexpected(done.error());
    if (auto done = append(engine, content, false, ids); !done) return tl::unexpected(done.error());
    at = found + content.size();
  }
  if (auto done = append(engine, rendered.substr(at), true, ids); !done) return tl::unexpected(done.error());
  return ids;
}

}  // namespace

Result<std::vector<int32_t>> tokenize_conversation(const Engine& engine,
                                                   const std::vector<ChatMessage>& messages,
                                                   bool add_generation_prompt) {
  auto rendered = engine.apply_chat_template(messages, add_generation_prompt);
  if (!rendered) return tl::unexpected(rendered.error());
  for (const ChatMessage& message : messages) {
    auto spells = spells_control_token(engine, message.content);
    if (!spells) return tl::unexpected(spells.error());
    if (*spells) return tokenize_apart(engine, *rendered, messages);
  }
  // Templates write BOS themselves where the model wants one.
  return engine.tokenize(*rendered, false, true);
}

size_t common_prefix(const std::vector<int32_t>& a, const std::vector<int32_t>& b) {
  const size_t shorter = std::min(a.size(), b.size());
  return static_cast<size_t>(
      std::mismatch(a.begin(), a.begin() + static_cast<ptrdiff_t>(shorter), b.begin()).first - a.begin());
}

}  // namespace lazyfill::cli
