// Anthropic's Messages: what is asked. Contents in blocks become OpenAI's messages.
#include "server/api/chat_input.h"
#include "server/api/common_fields.h"
#include "server/api/dialect.h"
#include "server/api/fields.h"
#include "server/api/tool_choice.h"

namespace lazyfill::server {
namespace {

// Claude Code sends a block whose text differs from request to request; nothing behind it would ever be found
// again in the prompt cache.
constexpr std::string_view kBillingHeader = "x-anthropic-billing-header";

std::string type_of(const Json& block) {
  return block.is_object() && block.contains("type") && block["type"].is_string()
             ? block["type"].get<std::string>()
             : std::string();
}

// A text, or an array of text blocks.
ApiResult<std::string> text_of(const Json& content, const std::string& name) {
  if (content.is_string()) return content.get<std::string>();
  if (content.is_null()) return std::string();
  if (!content.is_array()) return refuse(name + " must be a text or an array of blocks", name);
  std::string joined;
  for (const Json& block : content) {
    if (type_of(block) != "text" || !block.contains("text") || !block["text"].is_string())
      return refuse("a block of " + name + " is no text; this model reads text only", name);
    const auto text = block["text"].get<std::string>();
    if (text.starts_with(kBillingHeader)) continue;
    joined += (joined.empty() ? "" : "\n\n") + text;
  }
  return joined;
}

ApiResult<void> add_tool_result(const Json& block, const std::string& name, Json& out) {
  if (!block.contains("tool_use_id") || !block["tool_use_id"].is_string())
    return refuse("a tool_result of " + name + " has no tool_use_id", name);
  auto text = text_of(block.contains("content") ? block["content"] : Json(nullptr), name);
  if (!text) return tl::unexpected(text.error());
  out.push_back({{"role", "tool"}, {"tool_call_id", block["tool_use_id"]}, {"content", *text}});
  return {};
}

ApiResult<void> add_user(const Json& blocks, const std::string& role, const std::string& name, Json& out) {
  std::string text;
  const auto end_text = [&] {
    if (!text.empty()) out.push_back({{"role", role}, {"content", std::exchange(text, {})}});
  };
  for (const Json& block : blocks) {
    const std::string type = type_of(block);
    if (type == "tool_result") {
      end_text();
      if (auto added = add_tool_result(block, name, out); !added) return added;
    } else if (type == "text" && block.contains("text") && block["text"].is_string()) {
      const auto one = block["text"].get<std::string>();
      if (!one.starts_with(kBillingHeader)) text += (text.empty() ? "" : "\n\n") + one;
    } else {
      return refuse("a block of " + name + " is neither text nor tool_result; this model reads text only",
                    name);
    }
  }
  if (text.empty() && blocks.empty()) return refuse(name + " has no content", name);
  end_text();
  return {};
}

ApiResult<void> add_assistant(const Json& blocks, const std::string& name, Json& out) {
  Json message = {{"role", "assistant"}, {"content", ""}};
  std::string text;
  std::string reasoning;
  for (const Json& block : blocks) {
    const std::string type = type_of(block);
    if (type == "text" && block.contains("text") && block["text"].is_string()) {
      text += block["text"].get<std::string>();
    } else if (type == "thinking" && block.contains("thinking") && block["thinking"].is_string()) {
      reasoning += block["thinking"].get<std::string>();
    } else if (type == "tool_use") {
      const bool is_call = block.contains("id") && block["id"].is_string() && block.contains("name") &&
                           block["name"].is_string() && block.contains("input") && block["input"].is_object();
      if (!is_call) return refuse("a tool_use of " + name + " needs id, name and input", name);
      message["tool_calls"].push_back(
          {{"id", block["id"]},
           {"type", "function"},
           {"function", {{"name", block["name"]}, {"arguments", block["input"].dump()}}}});
    } else if (type != "redacted_thinking") {
      return refuse("a block of " + name + " is of a type that an assistant does not write", name);
    }
  }
  message["content"] = std::move(text);
  if (!reasoning.empty()) message["reasoning_content"] = std::move(reasoning);
  out.push_back(std::move(message));
  return {};
}

ApiResult<Json> openai_messages(const Json& body) {
  Json out = Json::array();
  if (body.contains("system")) {
    auto system = text_of(body["system"], "system");
    if (!system) return tl::unexpected(system.error());
    if (!system->empty()) out.push_back({{"role", "system"}, {"content", *system}});
  }
  if (!body.contains("messages") || !body["messages"].is_array() || body["messages"].empty())
    return refuse("messages must be an array with at least one message", "messages");
  for (size_t i = 0; i < body["messages"].size(); ++i) {
    const Json& message = body["messages"][i];
    const std::string name = "messages." + std::to_string(i);
    const std::string role = message.is_object() && message.contains("role") && message["role"].is_string()
                                 ? message["role"].get<std::string>()
                                 : std::string();
    if (role != "user" && role != "assistant" && role != "system")
      return refuse(name + ".role must be user or assistant", name + ".role");
    if (!message.contains("content")) return refuse(name + " has no content", name + ".content");
    const Json& content = message["content"];
    if (content.is_string()) {
      out.push_back({{"role", role}, {"content", content}});
      continue;
    }
    if (!content.is_array())
      return refuse(name + ".content must be a text or an array of blocks", name + ".content");
    auto added = role == "assistant" ? add_assistant(content, name + ".content", out)
                                     : add_user(content, role, name + ".content", out);
    if (!added) return tl::unexpected(added.error());
  }
  return out;
}

// Tools of Anthropic's own, such as web search, have a type and are left out.
ApiResult<Json> openai_tools(const Json* tools) {
  Json out = Json::array();
  if (tools == nullptr) return out;
  for (const Json& tool : *tools) {
    const std::string type = type_of(tool);
    if (!type.empty() && type != "custom") continue;
    if (!tool.is_object() || !tool.contains("name") || !tool["name"].is_string())
      return refuse("each of tools needs a name", "tools");
    Json function = {{"name", tool["name"]}};
    if (tool.contains("description")) function["description"] = tool["description"];
    if (tool.contains("input_schema")) function["parameters"] = tool["input_schema"];
    out.push_back({{"type", "function"}, {"function", std::move(function)}});
  }
  return normalised_tools(out);
}

// {"type": "auto" | "any" | "none" | "tool", "name": ..., "disable_parallel_tool_use": ...}
ApiResult<Json> tools_of(Fields& fields, ToolRules& rules) {
  const Json* tools = fields.array({"tools"});
  const Json* choice = fields.object({"tool_choice"});
  bool has_one_call = false;
  if (choice != nullptr) {
    Fields inner(*choice, "tool_choice.");
    has_one_call = inner.flag({"disable_parallel_tool_use"}, false);
    if (inner.error()) return tl::unexpected(*inner.error());
  }
  if (fields.error()) return tl::unexpected(*fields.error());
  auto all = openai_tools(tools);
  if (!all) return all;
  const Json word = choice != nullptr ? type_of(*choice) : "auto";
  auto made = tool_rules(*all, tools, word == "tool" ? choice : &word, has_one_call);
  if (!made) return tl::unexpected(made.error());
  rules = std::move(*made);
  return all;
}

}  // namespace

ApiResult<ReadRequest> read_messages_prompt(const Engine& engine, const Json& body) {
  ReadRequest out;
  Fields fields(body);
  std::string variables = template_variables(fields);
  if (const Json* thinking = fields.object({"thinking"}); thinking != nullptr && variables.empty()) {
    const std::string type = type_of(*thinking);
    if (type == "enabled" || type == "disabled")
      variables = Json{{"enable_thinking", type == "enabled"}}.dump();
  }
  auto tools = tools_of(fields, out.request.tool_rules);
  if (!tools) return tl::unexpected(tools.error());
  auto messages = openai_messages(body).and_then(normalised_messages);
  if (!messages) return tl::unexpected(messages.error());
  auto rendered = fit_chat(engine, std::move(*messages), *tools, std::move(variables), true, out.request);
  if (!rendered) return tl::unexpected(rendered.error());
  out.rendered = std::move(*rendered);
  return out;
}

}  // namespace lazyfill::server
