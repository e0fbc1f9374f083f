// One request's answer as it is computed: tokens in, parts of the answer out.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "conversation/answer_parser.h"
#include "server/answers.h"

namespace lazyfill::server {

class Answering : public std::enable_shared_from_this<Answering> {
 public:
  using Clock = std::chrono::steady_clock;

  // request: what is submitted for each choice, without its callbacks.
  Answering(const Engine& engine, Generator& generator, AnswerRequest asked, const AnswerSyntax& syntax,
            Request request, std::unique_ptr<AnswerWriter> writer, std::shared_ptr<Reply> reply,
            std::function<void(const AnswerRecord&)> on_answered);

  // Called when all is computed; whoever is called finishes it. Set it before start().
  std::function<void(std::shared_ptr<Answering>)> on_complete;

  // Submits it. The writer has begun when this returns, or has said why not.
  void start();
  // The writer says the rest. To be called once, when it is complete.
  void finish();
  const AnswerRequest& asked() const { return asked_; }
  // Nothing of it changes any more once it is complete.
  const Choice& first_choice() const { return answered_.choices.front(); }

  // Says that it lives, where nothing was said for so long.
  void keep_alive(std::chrono::milliseconds silence);
  RunningAnswer running() const;
  bool has_ended() const { return has_ended_; }

 private:
  struct State {
    std::optional<AnswerParser> parser;  // of a chat
    std::vector<TokenChoice> logprobs;   // of tokens whose text is not out yet
    bool has_started = false;
    bool has_enough = false;  // of calls: the rest is not wanted
    bool is_late = false;     // it has taken the time that it may
    Clock::time_point first_token_at;
    bool has_ended = false;
  };

  Result<void> submit(size_t first, size_t n);
  Request request_of(size_t choice);
  void started(size_t choice, const PrefixReport& prefix);
  void progressed(size_t choice, const Progress& progress);
  bool took(size_t choice, std::string_view text);
  void take_parts(size_t choice, std::vector<AnswerPart> parts);
  void ended(size_t choice, Result<Generation> result);
  void fail(const ApiError& error);
  void record(int status, const std::string& error_code);

  const Engine& engine_;
  Generator& generator_;
  const AnswerRequest asked_;
  const Request request_;
  const std::unique_ptr<AnswerWriter> writer_;
  const std::shared_ptr<Reply> reply_;
  const std::function<void(const AnswerRecord&)> on_answered_;
  const Clock::time_point asked_at_ = Clock::now();

  mutable std::mutex mutex_;  // of what follows; the generator's thread and others take turns
  Answered answered_;
  std::vector<State> states_;
  Clock::time_point last_written_ = Clock::now();
  Clock::time_point last_progress_;
  size_t n_agreeing_tokens_ = 0;
  // Written under the mutex, read without: who asks may hold a lock that a callback takes under this one.
  std::atomic<bool> has_ended_{false};
};

// Letters and digits, from the system's source of randomness. Nine of them are what Mistral's templates take
// as the id of a call.
std::string random_id(size_t length);

}  // namespace lazyfill::server
