// Every answer of the server on its way: from the request to the generator, and from its tokens to the writer
// of the client's API.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "conversation/said_tokens.h"
#include "server/api/dialect.h"
#include "server/dense_prefix.h"
#include "server/generator.h"

namespace lazyfill::server {

struct AnswersOptions {
  size_t n_ctx = 0;
  size_t default_max_tokens = 2048;            // where a request does not say
  std::chrono::milliseconds keep_alive{5000};  // a stream that is silent so long tells that it lives
  std::string model_name;
};

// What became of an answer, for logs and metrics.
struct AnswerRecord {
  std::string id;
  int status = 200;
  std::string error_code;  // with an error
  size_t n_prompt_tokens = 0;
  size_t n_cached_tokens = 0;
  size_t n_agreeing_tokens = 0;  // where the prompt diverged from everything that is kept
  size_t n_generated_tokens = 0;
  double computed_share = 1;  // of the prompt's tokens and layers
  Timings timings;            // of the first choice
  bool is_cancelled = false;  // the client went away
};

// One that is being computed, as /slots shows it.
struct RunningAnswer {
  std::string id;
  bool is_prefilling = true;
  size_t n_prompt_tokens = 0;
  size_t n_cached_tokens = 0;
  size_t n_generated_tokens = 0;
  size_t n_choices = 1;
  double running_s = 0;
};

class Answering;

// Any thread may call it.
class Answers {
 public:
  Answers(const Engine& engine, Generator& generator, AnswersOptions options,
          std::function<void(const AnswerRecord&)> on_answered);
  ~Answers();

  // Returns at once; the answer, or the error, comes to the reply.
  void answer(const Dialect& dialect, ReadRequest read, std::shared_ptr<Reply> reply, int priority);
  std::vector<RunningAnswer> running() const;

  // The tokens of a request's prompt. Errors: more than the context holds.
  ApiResult<std::vector<int32_t>> prompt_of(const ReadRequest& read);

 private:
  void work();
  void later(std::function<void()> task);
  void remember(const AnswerRequest& asked, size_t n_prompt_bytes, const Choice& choice);
  std::vector<std::shared_ptr<Answering>> take_active();

  const Engine& engine_;
  Generator& generator_;
  const AnswersOptions options_;
  const std::function<void(const AnswerRecord&)> on_answered_;
  DensePrefix dense_prefix_;
  SaidTokens said_;
  mutable std::mutex mutex_;  // of what follows
  std::condition_variable wake_;
  std::list<std::weak_ptr<Answering>> active_;
  std::vector<std::function<void()>> to_do_;  // once an answer has ended, and nobody waits for it
  bool quits_ = false;
  std::thread worker_;  // keeps streams alive, and does what nobody waits for
};

}  // namespace lazyfill::server
