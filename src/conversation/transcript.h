// What is asked about one document, question after question, and which tokens each turn adds to a session.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "lazyfill/engine.h"

namespace lazyfill {

// What turns a session that holds the conversation so far into one that ends with the next question.
struct Turn {
  size_t n_back = 0;            // newest tokens to take back: an answer can be spelled otherwise in a prompt
  std::vector<int32_t> tokens;  // then to be added; not empty
};

class Transcript {
 public:
  // special: texts may write control tokens. As chat messages (behind those of `request`, with its tools and
  // variables), or as plain text: document, question, answer and the next question, with an empty line before
  // each question.
  Transcript(const Engine& engine, std::string document, bool chat, bool special, ChatRequest request);

  Result<Turn> ask(const std::string& question);
  // What a session generated on the turn; without this the next question follows as if there were no answer.
  void answered(std::span<const int32_t> token_ids, const std::string& text);
  // The tokens of a session that went through all turns.
  size_t n_tokens() const { return tokens_.size(); }

 private:
  Result<std::vector<int32_t>> render() const;

  const Engine& engine_;
  std::string document_;  // plain: with all that was said
  bool chat_;
  bool special_;
  ChatRequest request_;  // with all that was said; the document is part of the first question
  bool has_asked_ = false;
  std::vector<int32_t> tokens_;
};

// Takes back and adds.
Result<Generation> generate_turn(Session& session, const Turn& turn, const GenerateOptions& options,
                                 const Callbacks& callbacks);
Result<void> take_back(Session& session, const Turn& turn);

}  // namespace lazyfill
