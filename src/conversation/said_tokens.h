// The tokens that a conversation was computed with. A model may spell its answer with other tokens than its
// tokeniser would, so when an answer comes back as a part of the history, its text alone would not be found
// among the columns that were computed of it.
#pragma once

#include <cstdint>
#include <list>
#include <mutex>
#include <string>
#include <vector>

#include "lazyfill/engine.h"

namespace lazyfill {

// Any thread may call it.
class SaidTokens {
 public:
  // max_bytes: of all that is remembered; the longest unused goes first.
  SaidTokens(Engine engine, size_t max_bytes);

  // `said`: the conversation as the template writes it with the answer at its end; `tokens`: those that were
  // computed, of prompt and answer. It counts up to the end of the answer, before the token that ends it.
  void remember(const RenderedChat& said, size_t n_prompt_bytes, std::vector<int32_t> tokens);
  // The tokens of a conversation: those that were computed of the longest beginning that is remembered, and
  // the tokeniser's for the rest. A beginning counts only where the template wrote the same parts of it.
  Result<std::vector<int32_t>> tokenize(const RenderedChat& chat);

 private:
  struct Said {
    RenderedChat begin;
    std::vector<int32_t> tokens;
    size_t bytes() const { return begin.text.size() + tokens.size() * sizeof(int32_t); }
  };

  std::list<Said>::iterator forget(std::list<Said>::iterator one);

  const Engine engine_;
  const size_t max_bytes_;
  std::vector<std::string> end_names_;  // of the tokens that end a turn
  std::mutex mutex_;                    // of what follows
  std::list<Said> said_;                // the latest first
  size_t n_bytes_ = 0;
};

// The first n_bytes of it, and what follows them.
RenderedChat begin_of(const RenderedChat& chat, size_t n_bytes);
RenderedChat rest_of(const RenderedChat& chat, size_t n_bytes);

}  // namespace lazyfill
