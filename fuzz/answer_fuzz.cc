// Parses whatever text libFuzzer thinks of as a model's answer, in all forms of calls, whole and cut into
// pieces: the first byte says how it is cut.
//   build/fuzz/bin/answer_fuzz -dict=fuzz/answer.dict -max_len=512 -max_total_time=60 CORPUS
//   fuzz/corpus/answer
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "conversation/answer_parser.h"

namespace {

using Kind = lazyfill::AnswerPart::Kind;

// The parts together, those of the same kind and call in one.
std::vector<lazyfill::AnswerPart> parse(const lazyfill::AnswerSyntax& syntax, std::string_view text,
                                        size_t step) {
  lazyfill::AnswerParser parser(syntax);
  std::vector<lazyfill::AnswerPart> all;
  const auto add = [&](std::vector<lazyfill::AnswerPart> parts) {
    for (lazyfill::AnswerPart& part : parts) {
      if (part.kind != Kind::kToolCall && !all.empty() && all.back().kind == part.kind &&
          all.back().call == part.call)
        all.back().text += part.text;
      else
        all.push_back(std::move(part));
    }
  };
  for (size_t at = 0; at < text.size(); at += step) add(parser.push(text.substr(at, step)));
  add(parser.finish());
  return all;
}

// Calls are whole, and where there is neither a call nor a thought nothing is lost.
void check(const std::vector<lazyfill::AnswerPart>& parts, std::string_view text, bool can_think) {
  size_t n_calls = 0;
  size_t n_bytes = 0;
  for (const lazyfill::AnswerPart& part : parts) {
    if (part.kind == Kind::kToolCall && (part.call != n_calls++ || part.text.empty())) __builtin_trap();
    if (part.kind == Kind::kToolArguments) {
      if (part.call + 1 != n_calls || part.text.empty() || part.text.front() != '{') __builtin_trap();
      if (!nlohmann::json::accept(part.text)) __builtin_trap();
    }
    if (part.kind == Kind::kContent || part.kind == Kind::kReasoning) n_bytes += part.text.size();
  }
  if (n_bytes > text.size()) __builtin_trap();
  if (n_calls == 0 && !can_think && !text.empty() && (parts.size() != 1 || parts[0].text != text))
    __builtin_trap();
}

bool are_same(const std::vector<lazyfill::AnswerPart>& a, const std::vector<lazyfill::AnswerPart>& b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i)
    if (a[i].kind != b[i].kind || a[i].call != b[i].call || a[i].text != b[i].text) return false;
  return true;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  for (const auto tools :
       {lazyfill::ToolSyntax::kNone, lazyfill::ToolSyntax::kHermes, lazyfill::ToolSyntax::kQwenCoder,
        lazyfill::ToolSyntax::kLlama3, lazyfill::ToolSyntax::kMistral}) {
    const lazyfill::AnswerSyntax syntax{.tools = tools,
                                        .thought_begin = "<think>",
                                        .thought_end = "</think>",
                                        .begins_in_thought = (data[0] & 128) != 0};
    const auto whole = parse(syntax, text, text.size() + 1);
    check(whole, text, syntax.begins_in_thought || text.find(syntax.thought_begin) != std::string_view::npos);
    if (!are_same(parse(syntax, text, 1 + data[0] % 16), whole)) __builtin_trap();
    if (!are_same(parse(syntax, text, 1), whole)) __builtin_trap();
  }
  return 0;
}
