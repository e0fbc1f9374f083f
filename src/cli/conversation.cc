#include "cli/conversation.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

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
                                            const std::vector<std::string>& contents) {
  std::vector<int32_t> ids;
  size_t at = 0;
  for (const std::string& text : contents) {
    const std::string_view content = trimmed(text);
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

// Every text inside, names too. The depth was checked when the template was rendered.
void collect_all(const nlohmann::json& value, std::vector<std::string>& texts) {
  if (value.is_string()) texts.push_back(value.get<std::string>());
  if (value.is_object()) {
    for (const auto& [name, member] : value.items()) texts.push_back(name);
  }
  for (const auto& member : value) {
    if (value.is_structured()) collect_all(member, texts);
  }
}

// The texts of a message: of its content, whole or in parts, and everything else.
void collect_texts(const nlohmann::json& message, std::vector<std::string>& contents,
                   std::vector<std::string>& others) {
  if (!message.is_object()) return collect_all(message, others);
  for (const auto& [name, value] : message.items()) {
    if (name == "content" && value.is_string()) {
      contents.push_back(value.get<std::string>());
    } else if (name == "content" && value.is_array()) {
      for (nlohmann::json part : value) {
        if (part.is_object() && part.contains("text") && part["text"].is_string()) {
          contents.push_back(part["text"].get<std::string>());
          part.erase("text");
        }
        collect_all(part, others);
      }
    } else {
      others.push_back(name);
      collect_all(value, others);
    }
  }
}

}  // namespace

Result<std::vector<int32_t>> tokenize_conversation(const Engine& engine,
                                                   const std::vector<ChatMessage>& messages,
                                                   bool add_generation_prompt) {
  return tokenize_conversation(engine,
                               {.messages = messages, .add_generation_prompt = add_generation_prompt});
}

Result<std::vector<int32_t>> tokenize_conversation(const Engine& engine, const ChatRequest& request) {
  auto rendered = engine.apply_chat_template(request);
  if (!rendered) return tl::unexpected(rendered.error());
  std::vector<std::string> contents;
  for (const ChatMessage& message : request.messages) contents.push_back(message.content);
  if (!request.messages_json.empty()) {
    const auto messages =
        nlohmann::json::parse(request.messages_json, nullptr, false);  // it was rendered above
    contents.clear();
    std::vector<std::string> others;
    for (const auto& message : messages) collect_texts(message, contents, others);
    for (const std::string& other : others) {
      auto spells = spells_control_token(engine, other);
      if (!spells) return tl::unexpected(spells.error());
      if (*spells) {
        return fail(ErrorCode::kInvalidArgument,
                    "a message spells out control tokens of the model beside its content: remove them");
      }
    }
  }
  for (const std::string& content : contents) {
    auto spells = spells_control_token(engine, content);
    if (!spells) return tl::unexpected(spells.error());
    if (*spells) return tokenize_apart(engine, *rendered, contents);
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
