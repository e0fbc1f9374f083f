#include "cli/messages.h"

#include <nlohmann/json.hpp>
#include <vector>

#include "cli/json_text.h"

namespace lazyfill::cli {
namespace {

using Json = nlohmann::ordered_json;

bool is_text_or_parts(const Json& content) {
  if (content.is_string()) return true;
  if (!content.is_array()) return false;
  for (const Json& part : content) {
    if (!part.is_object() && !part.is_string()) return false;
  }
  return true;
}

// What a message says beside its content: calls of tools, thoughts.
bool says_something_else(const Json& message) {
  for (const auto& [name, value] : message.items()) {
    if (name != "role" && name != "content" && name != "name" && name != "id" && !value.empty()) return true;
  }
  return false;
}

std::string fault_of(const Json& message) {
  if (!message.is_object()) return "is no object with \"role\" and \"content\"";
  const auto role = message.find("role");
  if (role == message.end()) return "has no \"role\"";
  if (!role->is_string() || role->get_ref<const std::string&>().empty())
    return "has a \"role\" that is no text";
  const auto& name = role->get_ref<const std::string&>();
  const auto content = message.find("content");
  if (content == message.end() || content->is_null()) {
    const bool must = name == "user" || name == "system" || name == "developer";
    return must || !says_something_else(message) ? "has no \"content\"" : "";
  }
  const bool is_result = name == "tool" || name == "ipython" || name == "function";  // may be any value
  return is_result || is_text_or_parts(*content)
             ? ""
             : "has a \"content\" that is neither a text nor a list of parts";
}

}  // namespace

MessagesFault find_fault_in_messages(std::string_view array) {
  const auto messages = Json::parse(array, nullptr, false);
  if (!messages.is_array()) return {"is no JSON array of messages, each with \"role\" and \"content\"", 0};
  if (messages.empty()) return {"holds no message", 0};
  const std::vector<JsonSpan> spans = json_spans(array);
  for (size_t i = 0; i < messages.size(); ++i) {
    const std::string fault = fault_of(messages[i]);
    if (!fault.empty())
      return {"holds a message that is none: number " + std::to_string(i + 1) + " " + fault,
              i < spans.size() ? spans[i].begin : 0};
  }
  return {};
}

bool prints_parts_as_list(const Engine& engine, const ChatRequest& request) {
  constexpr const char* kMark = "lazyfill looks for this";
  if (request.messages_json.empty()) return false;
  auto messages = Json::parse(request.messages_json, nullptr, false);
  bool has_parts = false;
  for (Json& message : messages) {
    if (!message.is_object() || !message.contains("content") || !message["content"].is_array()) continue;
    has_parts = true;
    message["content"] = Json::array({{{"type", "text"}, {"text", kMark}}});
  }
  if (!has_parts) return false;
  ChatRequest probe = request;
  probe.messages_json = messages.dump();
  const auto rendered = engine.apply_chat_template(probe);
  if (!rendered) return false;
  // A part as Python prints it, and as JSON has it.
  for (const std::string quotation : {"'", "\""}) {
    const std::string name = quotation + "text" + quotation + ": ";
    if (rendered->find(name + quotation + kMark + quotation) != std::string::npos) return true;
  }
  return false;
}

}  // namespace lazyfill::cli
