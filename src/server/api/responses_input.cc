// OpenAI's Responses, without memory between requests: what is asked. Items become the messages of Chat
// Completions.
#include <algorithm>
#include <map>
#include <utility>

#include "server/api/chat_input.h"
#include "server/api/common_fields.h"
#include "server/api/fields.h"
#include "server/api/response_format.h"
#include "server/api/responses.h"
#include "server/api/tool_choice.h"

namespace lazyfill::server {
namespace {

std::string text_member(const Json& item, const char* name) {
  return item.is_object() && item.contains(name) && item[name].is_string() ? item[name].get<std::string>()
                                                                           : std::string();
}

// The texts of a reasoning item: what was thought, or else its summary.
std::string reasoning_of(const Json& item) {
  std::string text;
  for (const char* list : {"content", "summary"}) {
    if (!text.empty() || !item.contains(list) || !item[list].is_array()) continue;
    for (const Json& part : item[list]) text += text_member(part, "text");
  }
  return text;
}

// Functions stand flat for the model; what stands in a namespace keeps its name unless another has it too.
// Other tools are left out later.
class FlatTools {
 public:
  explicit FlatTools(const Json* tools) {
    if (tools == nullptr) return;
    for_each(*tools, {},
             [&](const Json& tool, const std::string&) { ++n_named_[text_member(tool, "name")]; });
    for_each(*tools, {}, [&](const Json& tool, const std::string& space) { add(tool, space); });
  }

  const Json& tools() const { return tools_; }
  const Json& namespaces() const { return namespaces_; }
  // How the model knows a function of a namespace.
  std::string shown(const std::string& space, const std::string& name) const {
    if (space.empty()) return name;
    const std::string full = space + "__" + name;
    return namespaces_.contains(full) ? full : name;
  }

 private:
  template <class Visit>
  static void for_each(const Json& tools, const std::string& space, const Visit& visit) {
    for (const Json& tool : tools) {
      if (text_member(tool, "type") == "namespace" && tool.contains("tools") && tool["tools"].is_array()) {
        for_each(tool["tools"], text_member(tool, "name"), visit);
      } else {
        visit(tool, space);
      }
    }
  }

  void add(Json tool, const std::string& space) {
    const std::string name = text_member(tool, "name");
    if (!space.empty() && !name.empty()) {
      const std::string shown = n_named_[name] > 1 ? space + "__" + name : name;
      namespaces_[shown] = {{"namespace", space}, {"name", name}};
      tool["name"] = shown;
    }
    tools_.push_back(std::move(tool));
  }

  std::map<std::string, size_t> n_named_;
  Json tools_ = Json::array();
  Json namespaces_ = Json::object();
};

class Items {
 public:
  explicit Items(const FlatTools& tools) : tools_(tools) {}

  ApiResult<void> add(const Json& item, size_t index) {
    const std::string name = "input[" + std::to_string(index) + "]";
    if (!item.is_object()) return refuse(name + " must be an object", name);
    const std::string type = text_member(item, "type");
    if (type.empty() || type == "message") return add_message(item, name);
    if (type == "function_call") return add_call(item, name);
    if (type == "function_call_output") return add_output(item, name);
    if (type == "reasoning") {
      reasoning_ += reasoning_of(item);
      return {};
    }
    if (type == "item_reference")
      return refuse(name + " refers to an earlier response, but none are kept here; send its content", name);
    return {};  // items of tools that run elsewhere
  }

  // Call after the last.
  Json take() {
    if (!reasoning_.empty()) assistant();
    return std::move(messages_);
  }

 private:
  // The assistant's message that goes on: thoughts, a text and calls of one turn are one message.
  Json& assistant() {
    if (messages_.empty() || messages_.back()["role"] != "assistant")
      messages_.push_back({{"role", "assistant"}, {"content", ""}});
    if (!reasoning_.empty()) messages_.back()["reasoning_content"] = std::exchange(reasoning_, {});
    return messages_.back();
  }

  ApiResult<void> add_message(const Json& item, const std::string& name) {
    const std::string role = text_member(item, "role");
    if (role.empty() || !item.contains("content")) return refuse(name + " needs role and content", name);
    if (role == "assistant" && !reasoning_.empty()) {
      messages_.push_back({{"role", role}, {"content", item["content"]}});
      assistant();
      return {};
    }
    messages_.push_back({{"role", role}, {"content", item["content"]}});
    return {};
  }

  ApiResult<void> add_call(const Json& item, const std::string& name) {
    if (text_member(item, "name").empty() || text_member(item, "call_id").empty())
      return refuse(name + " needs call_id, name and arguments", name);
    assistant()["tool_calls"].push_back(
        {{"id", item["call_id"]},
         {"type", "function"},
         {"function",
          {{"name", tools_.shown(text_member(item, "namespace"), text_member(item, "name"))},
           {"arguments", text_member(item, "arguments")}}}});
    return {};
  }

  ApiResult<void> add_output(const Json& item, const std::string& name) {
    if (text_member(item, "call_id").empty() || !item.contains("output"))
      return refuse(name + " needs call_id and output", name);
    messages_.push_back({{"role", "tool"}, {"tool_call_id", item["call_id"]}, {"content", item["output"]}});
    return {};
  }

  const FlatTools& tools_;
  Json messages_ = Json::array();
  std::string reasoning_;
};

ApiResult<Json> messages_of(Fields& fields, const FlatTools& tools) {
  Items items(tools);
  Json messages = Json::array();
  const std::string instructions = fields.text({"instructions"});
  if (!instructions.empty()) messages.push_back({{"role", "system"}, {"content", instructions}});
  const Json* input = fields.any({"input"});
  if (fields.error()) return tl::unexpected(*fields.error());
  if (input != nullptr && !input->is_string() && !input->is_array())
    return refuse("input must be a text or an array of items", "input");
  if (input != nullptr && input->is_array()) {
    for (size_t i = 0; i < input->size(); ++i)
      if (auto added = items.add((*input)[i], i); !added) return tl::unexpected(added.error());
    for (Json& message : items.take()) messages.push_back(std::move(message));
  }
  // Some clients try a server with an input that is empty.
  const bool is_bare = input == nullptr || input->is_string() || input->empty();
  if (is_bare) {
    const std::string text = input != nullptr && input->is_string() ? input->get<std::string>() : "";
    messages.push_back({{"role", "user"}, {"content", text}});
  }
  return normalised_messages(messages);
}

// Of what the answer repeats, members that nothing else here looks at.
void check_echoed(Fields& fields) {
  fields.object({"metadata"});
  for (const char* name : {"prompt_cache_key", "user"}) fields.text({name});
}

// What the answer repeats of the request, with the defaults.
Json echoed(const Json& body, const Json& tools, const AnswerRequest& request) {
  const auto given = [&](const char* name, Json fallback) {
    return body.contains(name) && !body[name].is_null() ? body[name] : std::move(fallback);
  };
  Json repeated = Json::array();
  for (const Json& tool : tools) {
    Json one = {{"type", "function"}};
    one.update(tool["function"]);
    if (!one.contains("description")) one["description"] = nullptr;
    const auto rule = std::find_if(request.tool_rules.tools.begin(), request.tool_rules.tools.end(),
                                   [&](const auto& known) { return known.name == one["name"]; });
    one["strict"] = rule != request.tool_rules.tools.end() && rule->is_strict;
    repeated.push_back(std::move(one));
  }
  const std::string effort = text_member(given("reasoning", Json::object()), "effort");
  Json text = given("text", Json::object());
  if (!text.is_object() || !text.contains("format")) text = {{"format", {{"type", "text"}}}};
  return {{"instructions", given("instructions", nullptr)},
          {"max_output_tokens", request.has_max_tokens ? Json(request.options.max_tokens) : Json(nullptr)},
          {"max_tool_calls", nullptr},
          {"parallel_tool_calls", given("parallel_tool_calls", true)},
          {"previous_response_id", nullptr},
          {"reasoning", {{"effort", effort.empty() ? Json(nullptr) : Json(effort)}, {"summary", nullptr}}},
          {"store", false},
          {"background", false},
          {"temperature", request.options.sampling.temperature},
          {"top_p", request.options.sampling.top_p},
          {"presence_penalty", request.options.sampling.presence_penalty},
          {"frequency_penalty", request.options.sampling.frequency_penalty},
          {"top_logprobs", request.options.n_top_logprobs},
          {"text", std::move(text)},
          {"tool_choice", given("tool_choice", "auto")},
          {"tools", std::move(repeated)},
          {"truncation", "disabled"},
          {"service_tier", "default"},
          {"metadata", given("metadata", Json::object())},
          {"user", given("user", nullptr)},
          {"safety_identifier", nullptr},
          {"prompt_cache_key", given("prompt_cache_key", nullptr)}};
}

}  // namespace

ApiResult<ReadRequest> read_responses(const Engine& engine, const Json& body) {
  ReadRequest out;
  AnswerRequest& request = out.request;
  Fields fields(body);
  read_common_fields(fields, request);
  read_text_format(engine, fields, request);
  request.n_choices = 1;
  request.options.n_top_logprobs =
      static_cast<size_t>(fields.integer({"top_logprobs"}, 0, 0, kMaxTopLogprobs));
  request.with_logprobs = request.options.with_logprobs = request.options.n_top_logprobs > 0;
  if (fields.has("previous_response_id"))
    fields.refuse(
        "previous_response_id is not supported: nothing is kept between requests; send the whole input",
        "previous_response_id");
  if (fields.flag({"background"}, false))
    fields.refuse("background is not supported: nothing is kept between requests", "background");
  check_echoed(fields);
  const bool has_one_call = !fields.flag({"parallel_tool_calls"}, true);
  std::string variables = template_variables(fields);
  if (const Json* reasoning = fields.object({"reasoning"}); reasoning != nullptr && variables.empty()) {
    if (!text_member(*reasoning, "effort").empty())
      variables = Json{{"reasoning_effort", (*reasoning)["effort"]}}.dump();
  }
  const Json* tools = fields.array({"tools"});
  if (fields.error()) return tl::unexpected(*fields.error());
  const FlatTools flat(tools);
  request.namespaces = flat.namespaces();
  auto messages = messages_of(fields, flat);
  if (!messages) return tl::unexpected(messages.error());
  auto known = normalised_tools(flat.tools());
  if (!known) return tl::unexpected(known.error());
  auto rules = tool_rules(*known, &flat.tools(), fields.any({"tool_choice"}), has_one_call);
  if (!rules) return tl::unexpected(rules.error());
  request.tool_rules = std::move(*rules);
  auto rendered = fit_chat(engine, std::move(*messages), *known, std::move(variables), true, request);
  if (!rendered) return tl::unexpected(rendered.error());
  out.rendered = std::move(*rendered);
  request.echoed = echoed(body, *known, request);
  return out;
}

}  // namespace lazyfill::server
