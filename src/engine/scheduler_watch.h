// What tests of the scheduler watch it with.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <condition_variable>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "engine/tiny_engine.h"
#include "lazyfill/scheduler.h"

namespace lazyfill {

// What happened, in order: "+NAME" a token, ".NAME" an end; and a way to wait for it.
class Journal {
 public:
  void add(const std::string& event) {
    const std::scoped_lock lock(mutex_);
    events_.push_back(event);
    changed_.notify_all();
  }
  size_t count(const std::string& event) const {
    const std::scoped_lock lock(mutex_);
    return static_cast<size_t>(std::count(events_.begin(), events_.end(), event));
  }
  void wait_for(const std::string& event, size_t n = 1) {
    std::unique_lock lock(mutex_);
    changed_.wait(
        lock, [&] { return static_cast<size_t>(std::count(events_.begin(), events_.end(), event)) >= n; });
  }
  // Where an event happened first; behind all if it never did.
  size_t first(const std::string& event) const {
    const std::scoped_lock lock(mutex_);
    return static_cast<size_t>(std::find(events_.begin(), events_.end(), event) - events_.begin());
  }
  std::vector<std::string> events() const {
    const std::scoped_lock lock(mutex_);
    return events_;
  }
  // The request tells what happens to it.
  Request of(const std::string& name, Request request) {
    request.callbacks.on_token = [this, name](int32_t, std::string_view) {
      add("+" + name);
      return true;
    };
    request.on_end = [this, name](const Result<Generation>& result) {
      {
        const std::scoped_lock lock(mutex_);
        results_[name] = result;
      }
      add("." + name);
    };
    return request;
  }
  Result<Generation> result(const std::string& name) {
    wait_for("." + name);
    const std::scoped_lock lock(mutex_);
    return results_.at(name);
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> events_;
  std::map<std::string, Result<Generation>> results_;
};

// Holds the scheduler's thread in a callback until it is opened.
class Gate {
 public:
  void pass() {
    std::unique_lock lock(mutex_);
    is_reached_ = true;
    changed_.notify_all();
    changed_.wait(lock, [&] { return is_open_; });
  }
  void wait_until_reached() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return is_reached_; });
  }
  void open() {
    const std::scoped_lock lock(mutex_);
    is_open_ = true;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool is_reached_ = false;
  bool is_open_ = false;
};

// A request whose prefill waits at its first block until the gate is opened.
inline Request held_at(Gate& gate, Request request) {
  request.callbacks.on_progress = [&gate](const Progress&) { gate.pass(); };
  return request;
}

inline const Engine& tiny_engine() {
  static const Engine engine = load_tiny_engine(2);
  return engine;
}

inline const LazyOptions kDense{.schedule = "off"};
inline const LazyOptions kFocused{.schedule = "1:0.5,3:0.6", .policy = Policy::kFocus};

inline Request request_of(size_t n_prompt, uint32_t seed, size_t max_tokens = 4,
                          const LazyOptions& lazy = kDense) {
  return {.tokens = some_tokens(n_prompt, seed),
          .options = {.max_tokens = max_tokens, .sampling = {.temperature = 0}, .stop_at_end_token = false},
          .lazy = lazy,
          .cache_prompt = false};
}

inline Generation alone(const Request& request) {
  static const Executor executor = *tiny_engine().start_executor({});
  auto session = executor.start_session({.lazy = request.lazy});
  EXPECT_TRUE(session);
  auto answer = session->generate(request.tokens, request.options, {});
  EXPECT_TRUE(answer) << (answer ? "" : answer.error().message);
  return answer ? *answer : Generation{};
}

inline Scheduler scheduler_of(SchedulerOptions options = {}) {
  if (options.kv_memory_bytes == 0) options.kv_memory_bytes = uint64_t{1} << 30;
  auto scheduler = Scheduler::start(tiny_engine(), options);
  EXPECT_TRUE(scheduler) << (scheduler ? "" : scheduler.error().message);
  return std::move(*scheduler);
}

inline void expect_same(const Generation& got, const Generation& expected) {
  EXPECT_EQ(got.token_ids, expected.token_ids);
  EXPECT_EQ(got.text, expected.text);
  EXPECT_EQ(got.finish_reason, expected.finish_reason);
  EXPECT_EQ(got.lazy.kept, expected.lazy.kept);
  EXPECT_EQ(got.lazy.computed_by_step, expected.lazy.computed_by_step);
  EXPECT_EQ(got.lazy.computed_fraction, expected.lazy.computed_fraction);
}

// The same, and the probabilities of each token.
inline void expect_same_bits(const Generation& got, const Generation& expected) {
  expect_same(got, expected);
  ASSERT_EQ(got.top_logprobs.size(), expected.top_logprobs.size());
  for (size_t i = 0; i < got.top_logprobs.size(); ++i) {
    for (size_t k = 0; k < got.top_logprobs[i].size(); ++k) {
      EXPECT_EQ(got.top_logprobs[i][k].id, expected.top_logprobs[i][k].id);
      EXPECT_EQ(got.top_logprobs[i][k].logprob, expected.top_logprobs[i][k].logprob) << i << ", " << k;
    }
  }
}

}  // namespace lazyfill
