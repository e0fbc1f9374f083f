// What a model's answer consists of, as it streams: what is said, what was thought before it, calls of tools.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "lazyfill/engine.h"

namespace lazyfill {

// How calls are written.
enum class ToolSyntax {
  kNone,
  kHermes,     // <tool_call>{"name": ..., "arguments": {...}}</tool_call>: Hermes, Qwen 2.5 and 3
  kQwenCoder,  // <tool_call><function=name><parameter=x>value</parameter></function></tool_call>
  kLlama3,     // the whole answer is {"name": ..., "parameters": {...}}, or several with ; between; or they
               // come after <|python_tag|>
  kMistral,    // [TOOL_CALLS][{"name": ..., "arguments": {...}}], and the newer [TOOL_CALLS]name[ARGS]{...}
};

struct AnswerSyntax {
  ToolSyntax tools = ToolSyntax::kNone;
  std::string thought_begin, thought_end;  // empty: the model does not think aloud
  bool begins_in_thought = false;          // the prompt ends with thought_begin
  bool has_thought = false;        // it ends with thought_end: there was a thought, perhaps an empty one
  bool names_stand_alone = false;  // kMistral's newer form
  // The request's tools, as in ChatRequest. kQwenCoder writes values without quotation marks: which are texts
  // the tools' schemas say, else what a value looks like.
  std::string tools_json;
};

// By the model's chat template and vocabulary; begins_in_thought by the end of the rendered prompt.
AnswerSyntax find_answer_syntax(const Engine& engine, std::string_view rendered_prompt, bool has_tools);
// The same of a template's text. has_token: whether a text is one token of the vocabulary.
AnswerSyntax find_answer_syntax(std::string_view chat_template,
                                const std::function<bool(std::string_view)>& has_token,
                                std::string_view rendered_prompt, bool has_tools);

struct AnswerPart {
  enum class Kind {
    kContent,
    kReasoning,
    kToolCall,       // a call begins: its index and name
    kToolArguments,  // the next piece of its arguments; together they are one valid JSON object
  };
  Kind kind = Kind::kContent;
  std::string text;
  size_t call = 0;
};

// The text is one with the names of control tokens (GenerateOptions::show_special). However it is cut into
// pieces, the parts of each kind are the same together. What only looks like a call, such as broken JSON, is
// content, to the letter. Blanks around thoughts and calls are left out.
class AnswerParser {
 public:
  explicit AnswerParser(AnswerSyntax syntax);
  AnswerParser(AnswerParser&&) noexcept;
  AnswerParser& operator=(AnswerParser&&) noexcept;
  ~AnswerParser();

  std::vector<AnswerPart> push(std::string_view text);
  // What was held back, at the end.
  std::vector<AnswerPart> finish();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace lazyfill
