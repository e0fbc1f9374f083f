#include <algorithm>
#include <array>
#include <utility>

#include "conversation/answer_parser.h"

namespace lazyfill {
namespace {

struct Marks {
  std::string_view begin, end;
};
constexpr std::array<Marks, 4> kThoughts = {{{"<think>", "</think>"},
                                             {"[THINK]", "[/THINK]"},
                                             {"<seed:think>", "</seed:think>"},
                                             {"<|START_THINKING|>", "<|END_THINKING|>"}}};

// What templates write where they show calls, and the vocabularies' tokens for it. The first one that is
// there counts: Qwen's coders have all that Hermes has.
struct Sign {
  std::string_view text;
  ToolSyntax syntax;
  bool is_token = true;
};
constexpr std::array<Sign, 5> kSigns = {{{"[TOOL_CALLS]", ToolSyntax::kMistral},
                                         {"<function=", ToolSyntax::kQwenCoder},
                                         {"<tool_call>", ToolSyntax::kHermes},
                                         {"<|python_tag|>", ToolSyntax::kLlama3},
                                         {"ipython", ToolSyntax::kLlama3, false}}};

ToolSyntax find_tools(std::string_view chat_template,
                      const std::function<bool(std::string_view)>& has_token) {
  for (const Sign& sign : kSigns)
    if (chat_template.find(sign.text) != std::string_view::npos) return sign.syntax;
  for (const Sign& sign : kSigns)
    if (sign.is_token && has_token(sign.text)) return sign.syntax;
  return ToolSyntax::kNone;
}

}  // namespace

AnswerSyntax find_answer_syntax(std::string_view chat_template,
                                const std::function<bool(std::string_view)>& has_token,
                                std::string_view rendered_prompt, bool has_tools) {
  AnswerSyntax syntax;
  if (has_tools) syntax.tools = find_tools(chat_template, has_token);
  syntax.names_stand_alone = chat_template.find("[ARGS]") != std::string_view::npos;
  for (const Marks& marks : kThoughts) {
    const bool is_in_template = chat_template.find(marks.end) != std::string_view::npos;
    if (!is_in_template && !(has_token(marks.begin) && has_token(marks.end))) continue;
    syntax.thought_begin = marks.begin;
    syntax.thought_end = marks.end;
    break;
  }
  const size_t end = rendered_prompt.find_last_not_of(" \t\r\n") + 1;
  const auto ends_with = [&](const std::string& mark) {
    return !mark.empty() && rendered_prompt.substr(0, end).ends_with(mark);
  };
  syntax.begins_in_thought = ends_with(syntax.thought_begin);
  syntax.has_thought = ends_with(syntax.thought_end);
  return syntax;
}

AnswerSyntax find_answer_syntax(const Engine& engine, std::string_view rendered_prompt, bool has_tools) {
  const auto has_token = [&](std::string_view text) {
    const auto ids = engine.tokenize(text, false, true);
    return ids && ids->size() == 1 && engine.piece(ids->front()) == text;
  };
  return find_answer_syntax(engine.chat_template(has_tools), has_token, rendered_prompt, has_tools);
}

}  // namespace lazyfill
