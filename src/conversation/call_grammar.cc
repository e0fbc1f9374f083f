#include "conversation/call_grammar.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "conversation/tool_call.h"

namespace lazyfill {
namespace {

using Json = nlohmann::ordered_json;
using Need = CallRules::Need;

std::string hex(char c) {
  std::array<char, 8> text{};
  std::snprintf(text.data(), text.size(), "\\x%02X", static_cast<unsigned>(static_cast<unsigned char>(c)));
  return text.data();
}

// A text as GBNF writes it.
std::string literal(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      out += hex(c);
    } else {
      out += c;
    }
  }
  return out + "\"";
}

std::string json_text(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string quoted(const std::string& text) {
  return json_text(Json(text));
}

class Writer {
 public:
  Writer(const AnswerSyntax& syntax, const CallRules& rules, const ControlIds& control_ids)
      : syntax_(syntax), rules_(rules), control_ids_(control_ids), marks_(call_marks(syntax.tools)) {}

  std::string write() {
    std::string root = thought();
    const bool calls_tools = rules_.need != Need::kNoCall && !rules_.tools.empty() && !marks_.empty();
    const std::string list = calls_tools ? calls() : std::string();
    if (rules_.need == Need::kMustCall && calls_tools) {
      root += list;
    } else if (!rules_.content_schema.empty()) {
      root += "(%json " + rules_.content_schema + (calls_tools ? " | " + list : "") + ")";
    } else if (syntax_.tools == ToolSyntax::kLlama3 && calls_tools) {
      // Its calls are a whole answer that begins with a brace.
      root += "(" + content("{") + " | " + list + ")";
    } else {
      root += content("") + (calls_tools ? " (" + list + ")?" : "");
    }
    return "root ::= " + root + "\n" + rules_text_;
  }

 private:
  void add_rule(const std::string& name, const std::string& body) {
    rules_text_ += name + " ::= " + body + "\n";
  }

  // A control token, or its name as a text.
  std::string mark(std::string_view text) const {
    const int32_t id = control_ids_(text);
    return id < 0 ? literal(text) : std::string("<[").append(std::to_string(id)).append("]>");
  }

  std::string thought() {
    if (syntax_.thought_begin.empty() || syntax_.thought_end.empty() || syntax_.has_thought) return {};
    const std::string end = text_without("thought", {syntax_.thought_end}, {}) + " " +
                            mark(syntax_.thought_end) + " [ \\n]{0,4} ";
    if (syntax_.begins_in_thought) return end;
    return "([ \\n]{0,2} " + mark(syntax_.thought_begin) + " " + end + ")? ";
  }

  // What is said: nothing that would be read as a call.
  std::string content(std::string_view not_first) {
    return text_without("said", {marks_.begin(), marks_.end()}, not_first);
  }

  // Rules for any text in which none of some others stands (Aho and Corasick 1975: a rule is what of them has
  // been read so far). not_first: what it must not begin with, after blanks. The name of the first one.
  std::string text_without(const std::string& name, const std::vector<std::string>& others,
                           std::string_view not_first) {
    std::set<std::string> states{""};
    std::set<char> letters;
    for (const std::string& other : others) {
      for (size_t n = 1; n < other.size(); ++n) states.insert(other.substr(0, n));
      letters.insert(other.begin(), other.end());
    }
    const auto rule_of = [&](const std::string& state) {
      return name + "-" + std::to_string(std::distance(states.begin(), states.find(state)));
    };
    const auto ways = [&](const std::string& state, std::string_view excluded) {
      std::string body;
      std::string seen;
      for (const char c : letters) seen += hex(c);
      for (const char c : letters) {
        std::string read = state + c;
        while (states.count(read) == 0) read.erase(0, 1);
        const bool is_whole = std::any_of(others.begin(), others.end(), [&](const std::string& other) {
          return (state + c).ends_with(other);
        });
        if (!is_whole && excluded.find(c) == std::string_view::npos)
          body.append("[").append(hex(c)).append("] ").append(rule_of(read)).append(" | ");
      }
      for (const char c : excluded)
        if (letters.count(c) == 0) seen += hex(c);
      body.append(seen.empty() ? "." : std::string("[^").append(seen).append("]"));
      return body.append(" ").append(rule_of(""));
    };
    for (const std::string& state : states)
      add_rule(rule_of(state), std::string("(").append(ways(state, "")).append(")?"));
    if (not_first.empty()) return rule_of("");
    const std::string first = ways("", std::string(" \t\r\n").append(not_first));
    add_rule(name + "-first", std::string("[ \\t\\r\\n]* (").append(first).append(")?"));
    return name + "-first";
  }

  // One of the tools, as `write` writes each.
  template <class Fn>
  std::string one_of_tools(Fn write) {
    std::string ways;
    for (const CallableTool& tool : rules_.tools) ways += (ways.empty() ? "" : " | ") + write(tool);
    add_rule("call", ways);
    return "call";
  }

  std::string repeated(const std::string& call, const std::string& between) const {
    return rules_.has_one_call ? call : call + " (" + between + " " + call + ")*";
  }

  static std::string json_call(const CallableTool& tool, const char* arguments) {
    return literal("{\"name\": " + quoted(tool.name) + ", \"" + arguments + "\": ") + " %json " +
           tool.schema + " \"}\"";
  }

  std::string calls() {
    switch (syntax_.tools) {
      case ToolSyntax::kNone:
        return {};
      case ToolSyntax::kHermes:
        one_of_tools([](const CallableTool& tool) { return json_call(tool, "arguments"); });
        return repeated(mark("<tool_call>") + " \"\\n\" call \"\\n\" " + mark("</tool_call>"), "\"\\n\"");
      case ToolSyntax::kQwenCoder:
        one_of_tools([&](const CallableTool& tool) { return marked_up(tool); });
        return repeated(mark("<tool_call>") + " \"\\n\" call \"\\n\" " + mark("</tool_call>"), "\"\\n\"");
      case ToolSyntax::kLlama3:
        one_of_tools([](const CallableTool& tool) { return json_call(tool, "parameters"); });
        return repeated("call", "\"; \"");
      case ToolSyntax::kMistral:
        return mistral_calls();
    }
    return {};
  }

  std::string mistral_calls() {
    const std::string begin = mark("[TOOL_CALLS]");
    if (!syntax_.names_stand_alone) {
      one_of_tools([](const CallableTool& tool) { return json_call(tool, "arguments"); });
      return begin + " \" \"? \"[\" " + repeated("call", "\", \"") + " \"]\"";
    }
    one_of_tools([&](const CallableTool& tool) {
      return literal(tool.name) + " " + mark("[ARGS]") + " %json " + tool.schema;
    });
    return repeated(begin + " call", "");
  }

  std::string marked_up(const CallableTool& tool) {
    const Json schema = Json::parse(tool.schema, nullptr, false);
    std::string body = literal("<function=" + tool.name + ">\n");
    const Json properties =
        schema.is_object() && schema.contains("properties") && schema["properties"].is_object()
            ? schema["properties"]
            : Json::object();
    for (const auto& [name, property] : properties.items()) {
      const Json required = schema.value("required", Json::array());
      const bool is_required =
          required.is_array() && std::find(required.begin(), required.end(), Json(name)) != required.end();
      body += " (" + literal("<parameter=" + name + ">\n") + " " + value(property, schema) +
              " \"\\n</parameter>\\n\")" + (is_required ? "" : "?");
    }
    return body + " \"</function>\"";
  }

  // Texts stand without quotation marks, all else as JSON.
  std::string value(const Json& property, const Json& schema) {
    if (property.is_object() && property.contains("enum") && property["enum"].is_array()) {
      std::string ways;
      for (const Json& one : property["enum"])
        ways +=
            (ways.empty() ? "" : " | ") + literal(one.is_string() ? one.get<std::string>() : json_text(one));
      return "(" + ways + ")";
    }
    const bool is_text = property.is_object() && property.contains("type") && property["type"] == "string";
    if (is_text) {
      if (!std::exchange(has_texts_, true)) text_rule_ = text_without("text", {"</parameter>"}, {});
      return text_rule_;
    }
    Json alone = property.is_object() ? property : Json::object();
    for (const char* shared : {"$defs", "definitions"})
      if (schema.contains(shared)) alone[shared] = schema[shared];
    return "%json " + json_text(alone);
  }

  const AnswerSyntax& syntax_;
  const CallRules& rules_;
  const ControlIds& control_ids_;
  const std::vector<std::string_view> marks_;
  std::string rules_text_;
  std::string text_rule_;
  bool has_texts_ = false;
};

}  // namespace

std::string call_grammar(const AnswerSyntax& syntax, const CallRules& rules, const ControlIds& control_ids) {
  return Writer(syntax, rules, control_ids).write();
}

std::string unkept_keyword(ToolSyntax syntax, std::string_view schema) {
  if (syntax != ToolSyntax::kQwenCoder) return {};
  const Json whole = Json::parse(schema, nullptr, false);
  if (!whole.is_object()) return {};
  constexpr std::array<std::string_view, 6> kWhole = {"type",  "properties",  "required",
                                                      "$defs", "definitions", "additionalProperties"};
  constexpr std::array<std::string_view, 8> kSilent = {"title",      "description", "default", "examples",
                                                       "deprecated", "$comment",    "$schema", "$id"};
  const auto is_one_of = [](const auto& list, std::string_view key) {
    return std::find(list.begin(), list.end(), key) != list.end();
  };
  for (const auto& [key, value] : whole.items())
    if (!is_one_of(kWhole, key) && !is_one_of(kSilent, key)) return key;
  if (!whole.contains("properties") || !whole["properties"].is_object()) return {};
  for (const auto& [name, property] : whole["properties"].items()) {
    if (!property.is_object() || !property.contains("type") || property["type"] != "string") continue;
    for (const auto& [key, value] : property.items())
      if (key != "type" && key != "enum" && !is_one_of(kSilent, key)) return key;
  }
  return {};
}

}  // namespace lazyfill
