#include "server/api/tool_choice.h"

#include <algorithm>
#include <string>
#include <utility>

#include "conversation/tool_call.h"

namespace lazyfill::server {
namespace {

using Need = CallRules::Need;

constexpr char kAnyObject[] = R"({"type":"object"})";

// {"name": ...}, flat or below "function".
std::string name_of(const Json& choice) {
  if (!choice.is_object()) return {};
  const Json& holder = choice.contains("function") ? choice["function"] : choice;
  return holder.is_object() && holder.contains("name") && holder["name"].is_string()
             ? holder["name"].get<std::string>()
             : std::string();
}

// The holder of {"type": "allowed_tools", "mode": ..., "tools": [...]}, in Chat Completions one level deeper;
// null: it is another choice.
const Json* allowed_tools(const Json& choice) {
  if (!choice.is_object() || !choice.contains("type") || choice["type"] != "allowed_tools") return nullptr;
  const Json& holder = choice.contains("allowed_tools") ? choice["allowed_tools"] : choice;
  const bool has_list = holder.is_object() && holder.contains("tools") && holder["tools"].is_array();
  return has_list ? &holder : nullptr;
}

ApiResult<bool> is_strict(const Json* given, const std::string& name) {
  for (const Json& tool : given != nullptr ? *given : Json::array()) {
    if (name_of(tool) != name) continue;
    const Json& holder = tool.contains("function") ? tool["function"] : tool;
    if (!holder.contains("strict") || holder["strict"].is_null()) continue;
    if (!holder["strict"].is_boolean()) return refuse("strict of a tool must be true or false", "tools");
    if (holder["strict"].get<bool>()) return true;
  }
  return false;
}

// Which of the tools may be called; the error is none where the choice is auto or the like.
ApiResult<void> apply(const Json& choice, ToolRules& rules) {
  if (choice == "auto") return {};
  if (choice == "none") {
    rules.need = Need::kNoCall;
    return {};
  }
  const auto keep = [&](const auto& is_kept) {
    std::erase_if(rules.tools, [&](const ToolRules::Tool& tool) { return !is_kept(tool.name); });
  };
  if (choice == "required" || choice == "any") {
    rules.need = Need::kMustCall;
  } else if (const Json* allowed = allowed_tools(choice)) {
    keep([&](const std::string& name) {
      return std::any_of((*allowed)["tools"].begin(), (*allowed)["tools"].end(),
                         [&](const Json& one) { return name_of(one) == name; });
    });
    rules.is_narrowed = true;
    const bool must = allowed->contains("mode") && (*allowed)["mode"] == "required";
    if (must) rules.need = Need::kMustCall;
    if (!must && rules.tools.empty()) rules.need = Need::kNoCall;
  } else {
    const std::string name = name_of(choice);
    keep([&](const std::string& other) { return other == name; });
    rules.need = Need::kMustCall;
    rules.has_one_call = true;
    if (rules.tools.empty())
      return refuse("tool_choice must be auto, none, required, or name one of the tools", "tool_choice");
  }
  if (rules.need == Need::kMustCall && rules.tools.empty())
    return refuse("tool_choice wants a call, but there is no tool that may be called", "tool_choice");
  return {};
}

// A schema of objects; empty: the schema is of something else.
std::string object_schema(const Json& parameters) {
  Json schema = parameters;
  if (!schema.contains("type")) schema["type"] = "object";
  if (schema["type"] != "object") return {};
  return schema.dump(-1, ' ', false, Json::error_handler_t::replace);
}

ApiResult<CallableTool> callable(const Engine& engine, ToolSyntax syntax, const ToolRules::Tool& tool) {
  const bool is_plain = std::all_of(tool.name.begin(), tool.name.end(), is_of_name);
  if (tool.name.empty() || !is_plain)
    return refuse("the name of a tool that must be called, or is strict, may have letters, digits and _-.:/",
                  "tools");
  std::string schema = object_schema(tool.parameters);
  Result<void> checked;
  if (schema.empty())
    checked = fail(ErrorCode::kInvalidArgument, "the parameters must be an object's schema");
  else if (const std::string keyword = unkept_keyword(syntax, schema); !keyword.empty() && tool.is_strict)
    checked = fail(ErrorCode::kUnsupported,
                   "this model writes texts without quotation marks, which cannot be "
                   "held to the keyword \"" +
                       keyword.substr(0, 40) + "\"");
  else
    checked = engine.check_guide({GuideKind::kJsonSchema, schema, {}});
  if (checked) return CallableTool{tool.name, std::move(schema)};
  if (tool.is_strict) return refuse("a tool is strict, but " + checked.error().message, "tools");
  return CallableTool{tool.name, kAnyObject};
}

// By its name, if it is a token that texts do not spell.
int32_t control_id(const Engine& engine, std::string_view name) {
  const auto ids = engine.tokenize(name, false, true);
  if (!ids || ids->size() != 1 || engine.piece(ids->front()) != name) return -1;
  const auto plain = engine.tokenize(name, false, false);
  return plain && *plain == *ids ? -1 : ids->front();
}

ApiResult<CallRules> call_rules(const Engine& engine, ToolSyntax syntax, const AnswerRequest& request) {
  CallRules rules;
  rules.need = request.tool_rules.need;
  rules.has_one_call = request.tool_rules.has_one_call;
  if (syntax == ToolSyntax::kNone || !request.has_tools) rules.need = Need::kNoCall;
  if (request.options.guide.kind == GuideKind::kJsonSchema) {
    const Json schema = Json::parse(request.options.guide.source);  // it was checked
    rules.content_schema = schema.is_object() ? schema.dump() : "{}";
  }
  if (rules.need == Need::kNoCall) return rules;
  for (const ToolRules::Tool& tool : request.tool_rules.tools) {
    auto one = callable(engine, syntax, tool);
    if (!one) return tl::unexpected(one.error());
    rules.tools.push_back(std::move(*one));
  }
  return rules;
}

}  // namespace

ApiResult<ToolRules> tool_rules(const Json& tools, const Json* given, const Json* choice, bool has_one_call) {
  ToolRules rules;
  rules.has_one_call = has_one_call;
  for (const Json& tool : tools) {
    const Json& function = tool["function"];
    const auto name = function["name"].get<std::string>();
    auto strict = is_strict(given, name);
    if (!strict) return tl::unexpected(strict.error());
    rules.tools.push_back({name, function["parameters"], *strict});
  }
  if (choice != nullptr)
    if (auto applied = apply(*choice, rules); !applied) return tl::unexpected(applied.error());
  return rules;
}

ApiResult<void> guide_calls(const Engine& engine, const AnswerSyntax& syntax, AnswerRequest& request) {
  const ToolRules& rules = request.tool_rules;
  GuideOptions& guide = request.options.guide;
  const bool must_call = request.has_tools && rules.need == Need::kMustCall;
  const bool has_schema = guide.kind == GuideKind::kJsonSchema;
  if (must_call && guide.kind != GuideKind::kNone && !has_schema)
    return refuse("an answer that must call a tool cannot have a form too; leave one of them out",
                  "tool_choice");
  if (must_call && syntax.tools == ToolSyntax::kNone)
    return refuse(
        "it is not known how this model calls tools, so it cannot be made to; take another "
        "tool_choice or another model",
        "tool_choice");
  if (guide.kind != GuideKind::kNone && !has_schema) return {};
  const bool is_bound = request.has_tools && syntax.tools != ToolSyntax::kNone && rules.is_bound();
  const bool has_either =
      has_schema && request.has_tools && syntax.tools != ToolSyntax::kNone && rules.need == Need::kMayCall;
  const bool thinks_first = has_schema && syntax.begins_in_thought;
  if (!is_bound && !has_either && !thinks_first) return {};
  auto made = call_rules(engine, syntax.tools, request);
  if (!made) return tl::unexpected(made.error());
  const auto ids = [&](std::string_view name) { return control_id(engine, name); };
  GuideOptions calls{GuideKind::kGrammar, call_grammar(syntax, *made, ids), {}, guide.canonical};
  auto checked = engine.check_guide(calls);
  const bool are_loose = std::none_of(rules.tools.begin(), rules.tools.end(),
                                      [](const ToolRules::Tool& tool) { return tool.is_strict; });
  if (!checked && are_loose) {  // too much together
    for (CallableTool& tool : made->tools) tool.schema = kAnyObject;
    calls.source = call_grammar(syntax, *made, ids);
    checked = engine.check_guide(calls);
  }
  if (!checked) return refuse("the tools' schemas cannot be kept to: " + checked.error().message, "tools");
  guide = std::move(calls);
  return {};
}

}  // namespace lazyfill::server
