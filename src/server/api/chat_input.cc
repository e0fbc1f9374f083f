#include "server/api/chat_input.h"

#include <algorithm>
#include <array>
#include <utility>

namespace lazyfill::server {
namespace {

constexpr std::array<const char*, 5> kRoles = {"system", "user", "assistant", "tool", "developer"};

std::string message_name(size_t index) {
  return "messages[" + std::to_string(index) + "]";
}

// The texts of a content's parts, one after another.
ApiResult<std::string> joined_parts(const Json& parts, const std::string& name) {
  std::string joined;
  for (const Json& part : parts) {
    if (part.is_string()) {
      joined += part.get<std::string>();
      continue;
    }
    const std::string type = part.is_object() && part.contains("type") && part["type"].is_string()
                                 ? part["type"].get<std::string>()
                                 : std::string();
    const bool is_text = type == "text" || type == "input_text" || type == "output_text" || type == "refusal";
    if (!is_text)
      return refuse("a part of " + name + ".content is no text; this model reads text only",
                    name + ".content");
    const char* member = type == "refusal" ? "refusal" : "text";
    if (!part.contains(member) || !part[member].is_string())
      return refuse("a part of " + name + ".content has no " + member, name + ".content");
    joined += part[member].get<std::string>();
  }
  return joined;
}

ApiResult<void> check_calls(const Json& calls, const std::string& name) {
  if (!calls.is_array()) return refuse(name + ".tool_calls must be an array", name + ".tool_calls");
  for (const Json& call : calls) {
    const bool is_call = call.is_object() && call.contains("function") && call["function"].is_object() &&
                         call["function"].contains("name") && call["function"]["name"].is_string();
    if (!is_call) return refuse("each of " + name + ".tool_calls needs function.name", name + ".tool_calls");
  }
  return {};
}

ApiResult<Json> normalised_message(const Json& message, size_t index) {
  const std::string name = message_name(index);
  if (!message.is_object() || !message.contains("role") || !message["role"].is_string())
    return refuse(name + " must be an object with a role", name);
  const auto role = message["role"].get<std::string>();
  if (std::find(kRoles.begin(), kRoles.end(), role) == kRoles.end())
    return refuse(name + ".role must be system, developer, user, assistant or tool", name + ".role");
  Json out = {{"role", role == "developer" ? "system" : role}};
  const auto content = message.find("content");
  if (content == message.end() || content->is_null()) {
    if (role != "assistant") return refuse(name + " has no content", name + ".content");
    out["content"] = "";
  } else if (content->is_string()) {
    out["content"] = *content;
  } else if (content->is_array()) {
    auto joined = joined_parts(*content, name);
    if (!joined) return tl::unexpected(joined.error());
    out["content"] = std::move(*joined);
  } else {
    return refuse(name + ".content must be a text or an array of parts", name + ".content");
  }
  for (const char* reasoning : {"reasoning_content", "reasoning"}) {
    if (message.contains(reasoning) && message[reasoning].is_string() && !out.contains("reasoning_content"))
      out["reasoning_content"] = message[reasoning];
  }
  if (message.contains("tool_calls") && !message["tool_calls"].is_null() && !message["tool_calls"].empty()) {
    if (auto fine = check_calls(message["tool_calls"], name); !fine) return tl::unexpected(fine.error());
    out["tool_calls"] = message["tool_calls"];
  }
  for (const char* kept : {"tool_call_id", "name"}) {
    if (message.contains(kept) && message[kept].is_string()) out[kept] = message[kept];
  }
  return out;
}

// What a model without a form of its own for tools is told of them: the form of Hermes, which many know.
std::string tools_text(const Json& tools) {
  std::string text =
      "You may call functions to help with the request. These are their signatures:\n<tools>\n";
  for (const Json& tool : tools) text += tool.dump() + "\n";
  return text +
         "</tools>\nFor each call answer with a JSON object between <tool_call> tags:\n<tool_call>\n"
         "{\"name\": \"the function's name\", \"arguments\": {\"argument\": \"value\"}}\n</tool_call>";
}

std::string text_of_call(const Json& call) {
  const Json& function = call["function"];
  std::string arguments = "{}";
  if (function.contains("arguments")) {
    arguments = function["arguments"].is_string() ? function["arguments"].get<std::string>()
                                                  : function["arguments"].dump();
  }
  return "<tool_call>\n{\"name\": " + function["name"].dump() + ", \"arguments\": " + arguments +
         "}\n</tool_call>";
}

// The same conversation for a template that knows no tools: calls and results as texts.
Json with_tools_in_text(const Json& messages, const Json& tools) {
  Json out = Json::array();
  for (const Json& message : messages) {
    Json one = {{"role", message["role"]}, {"content", message["content"]}};
    auto content = message["content"].get<std::string>();
    if (message.contains("tool_calls")) {
      for (const Json& call : message["tool_calls"]) {
        if (!content.empty()) content += '\n';
        content += text_of_call(call);
      }
    }
    if (message["role"] == "tool") {
      one["role"] = "user";
      content = "<tool_response>\n" + content + "\n</tool_response>";
    }
    one["content"] = std::move(content);
    out.push_back(std::move(one));
  }
  if (tools.empty()) return out;
  if (!out.empty() && out[0]["role"] == "system") {
    out[0]["content"] = out[0]["content"].get<std::string>() + "\n\n" + tools_text(tools);
  } else {
    out.insert(out.begin(), Json{{"role", "system"}, {"content", tools_text(tools)}});
  }
  return out;
}

Json with_system_as_user(const Json& messages, bool first_too) {
  Json out = messages;
  bool is_first = true;
  for (Json& message : out) {
    if (message["role"] == "system" && (first_too || !is_first)) message["role"] = "user";
    if (message["role"] != "system") is_first = false;
  }
  return out;
}

Json with_neighbours_joined(const Json& messages) {
  Json out = Json::array();
  for (const Json& message : messages) {
    const bool joins = !out.empty() && out.back()["role"] == message["role"] && message["role"] != "tool" &&
                       !out.back().contains("tool_calls");
    if (!joins) {
      out.push_back(message);
      continue;
    }
    const auto before = out.back()["content"].get<std::string>();
    const auto content = message["content"].get<std::string>();
    out.back()["content"] = before + (before.empty() || content.empty() ? "" : "\n\n") + content;
    if (message.contains("tool_calls")) out.back()["tool_calls"] = message["tool_calls"];
  }
  return out;
}

size_t n_leading_system(const Json& messages) {
  size_t n = 0;
  while (n < messages.size() && messages[n]["role"] == "system") ++n;
  return n;
}

bool mentions_tools(const Json& messages) {
  return std::any_of(messages.begin(), messages.end(), [](const Json& message) {
    return message["role"] == "tool" || message.contains("tool_calls");
  });
}

class Fitting {
 public:
  Fitting(const Engine& engine, std::string variables, bool add_generation_prompt, AnswerRequest& request)
      : engine_(engine),
        variables_(std::move(variables)),
        add_generation_prompt_(add_generation_prompt),
        request_(request) {}

  // Each of the forms in turn; the first error counts, for it speaks of what the client sent.
  Result<RenderedChat> try_all(const Json& messages, const Json& tools) {
    auto first = try_one(messages, tools);
    if (first) return first;
    for (const Json& form :
         {with_system_as_user(messages, false), with_system_as_user(messages, true),
          with_neighbours_joined(messages), with_neighbours_joined(with_system_as_user(messages, false)),
          with_neighbours_joined(with_system_as_user(messages, true))}) {
      if (auto rendered = try_one(form, tools)) return rendered;
    }
    return first;
  }

 private:
  Result<RenderedChat> try_one(const Json& messages, const Json& tools) {
    ChatRequest chat;
    chat.messages_json = messages.dump();
    if (!tools.empty()) chat.tools_json = tools.dump();
    chat.variables_json = variables_;
    chat.add_generation_prompt = add_generation_prompt_;
    auto rendered = engine_.render_chat(chat);
    if (!rendered) return rendered;
    request_.chat = std::move(chat);
    request_.n_dense_messages = n_leading_system(messages);
    return rendered;
  }

  const Engine& engine_;
  const std::string variables_;
  const bool add_generation_prompt_;
  AnswerRequest& request_;
};

}  // namespace

ApiResult<Json> normalised_messages(const Json& messages) {
  if (!messages.is_array() || messages.empty())
    return refuse("messages must be an array with at least one message", "messages");
  Json out = Json::array();
  for (size_t i = 0; i < messages.size(); ++i) {
    auto message = normalised_message(messages[i], i);
    if (!message) return message;
    out.push_back(std::move(*message));
  }
  return out;
}

ApiResult<Json> normalised_tools(const Json& tools) {
  Json out = Json::array();
  if (tools.is_null()) return out;
  if (!tools.is_array()) return refuse("tools must be an array", "tools");
  for (const Json& tool : tools) {
    if (!tool.is_object() || !tool.contains("type") || !tool["type"].is_string())
      return refuse("each of tools must be an object with a type", "tools");
    if (tool["type"] != "function") continue;
    const Json& function = tool.contains("function") ? tool["function"] : tool;
    if (!function.is_object() || !function.contains("name") || !function["name"].is_string())
      return refuse("each function of tools needs a name", "tools");
    Json one = {{"name", function["name"]}};
    if (function.contains("description") && function["description"].is_string())
      one["description"] = function["description"];
    if (function.contains("parameters") && !function["parameters"].is_null()) {
      if (!function["parameters"].is_object())
        return refuse("the parameters of a function must be a JSON schema, an object", "tools");
      one["parameters"] = function["parameters"];
    } else {
      one["parameters"] = {{"type", "object"}, {"properties", Json::object()}};
    }
    out.push_back({{"type", "function"}, {"function", std::move(one)}});
  }
  return out;
}

Json message_of(const Choice& choice, bool tools_in_text) {
  Json message = {{"role", "assistant"}, {"content", choice.content}};
  if (!choice.reasoning.empty()) message["reasoning_content"] = choice.reasoning;
  for (const ToolCall& call : choice.calls) {
    message["tool_calls"].push_back({{"id", call.id},
                                     {"type", "function"},
                                     {"function", {{"name", call.name}, {"arguments", call.arguments}}}});
  }
  return tools_in_text ? with_tools_in_text(Json::array({std::move(message)}), Json::array())[0] : message;
}

ApiResult<RenderedChat> fit_chat(const Engine& engine, Json messages, const Json& tools,
                                 std::string variables_json, bool add_generation_prompt,
                                 AnswerRequest& request) {
  request.splits_answer = true;
  request.has_tools = !tools.empty();
  Fitting fitting(engine, std::move(variables_json), add_generation_prompt, request);
  auto rendered = fitting.try_all(messages, tools);
  if (!rendered && (request.has_tools || mentions_tools(messages))) {
    auto in_text = fitting.try_all(with_tools_in_text(messages, tools), Json::array());
    if (in_text) {
      request.tools_in_text = true;
      return std::move(*in_text);
    }
  }
  if (!rendered) return tl::unexpected(api_error(rendered.error()));
  return std::move(*rendered);
}

}  // namespace lazyfill::server
