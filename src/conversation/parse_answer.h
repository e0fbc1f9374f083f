// A whole answer through the parser, for tests: in pieces, and what the parts are together.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "conversation/answer_parser.h"

namespace lazyfill {

struct ParsedAnswer {
  struct Call {
    std::string name, arguments;
    bool operator==(const Call&) const = default;
  };
  std::string content, reasoning;
  std::vector<Call> calls;
  std::string order;  // a letter for each run of parts of a kind
  bool operator==(const ParsedAnswer&) const = default;

  void add(const std::vector<AnswerPart>& parts) {
    for (const AnswerPart& part : parts) {
      const char letter = "crta"[static_cast<size_t>(part.kind)];
      if (order.empty() || order.back() != letter) order += letter;
      if (part.kind == AnswerPart::Kind::kContent) content += part.text;
      if (part.kind == AnswerPart::Kind::kReasoning) reasoning += part.text;
      if (part.kind == AnswerPart::Kind::kToolCall) calls.push_back({part.text, ""});
      if (part.kind == AnswerPart::Kind::kToolArguments) calls.at(part.call).arguments += part.text;
    }
  }
};

// Cut at these places, ascending.
inline ParsedAnswer parse_answer(const AnswerSyntax& syntax, std::string_view text,
                                 std::span<const size_t> cuts = {}) {
  AnswerParser parser(syntax);
  ParsedAnswer answer;
  size_t begin = 0;
  for (const size_t cut : cuts) {
    answer.add(parser.push(text.substr(begin, cut - begin)));
    begin = cut;
  }
  answer.add(parser.push(text.substr(begin)));
  answer.add(parser.finish());
  return answer;
}

}  // namespace lazyfill
