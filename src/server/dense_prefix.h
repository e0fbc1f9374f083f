// How far the part of a conversation reaches that stays: system messages at its beginning, and tools. It is
// computed by the whole model, whatever the schedule is, and leaves the prompt cache last.
#pragma once

#include <cstdint>
#include <list>
#include <mutex>
#include <string>
#include <vector>

#include "lazyfill/engine.h"
#include "server/api/answer_request.h"

namespace lazyfill::server {

// Any thread may call it.
class DensePrefix {
 public:
  explicit DensePrefix(const Engine& engine) : engine_(engine) {}
  // Of the prompt's tokens, so many at the beginning; 0 where there is no such part.
  size_t n_tokens(const AnswerRequest& request, const std::vector<int32_t>& prompt);

 private:
  std::vector<int32_t> tokens_of(const ChatRequest& chat, const Json& messages) const;

  const Engine& engine_;
  std::mutex mutex_;
  // The latest ones, newest first: an agent sends the same part with every turn.
  std::list<std::pair<std::string, std::vector<int32_t>>> known_;
};

}  // namespace lazyfill::server
