// What is asked about one document, question after question, as the tokens that a conversation has at each
// turn.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lazyfill/engine.h"

namespace lazyfill {

class Transcript {
 public:
  // special: texts may write control tokens. As chat messages (behind those of `request`, with its tools and
  // variables), or as plain text: document, question, answer and the next question, with an empty line before
  // each question.
  Transcript(const Engine& engine, std::string document, bool chat, bool special, ChatRequest request);

  // The tokens of all that was said, up to this question. Not empty.
  Result<std::vector<int32_t>> ask(const std::string& question);
  // What was generated on it; without this the next question follows as if there were no answer.
  void answered(const std::string& text);

 private:
  Result<std::vector<int32_t>> render() const;

  const Engine& engine_;
  std::string document_;  // plain: with all that was said
  bool chat_;
  bool special_;
  ChatRequest request_;  // with all that was said; the document is part of the first question
  bool has_asked_ = false;
};

}  // namespace lazyfill
