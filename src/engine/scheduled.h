// One request in the scheduler's hands: what was asked, and from its admission on what it computes with.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <utility>

#include "cache/prefix_store.h"
#include "engine/answer.h"
#include "engine/session_impl.h"
#include "lazyfill/scheduler.h"

namespace lazyfill {

struct Scheduled {
  explicit Scheduled(Request asked) : request(std::move(asked)) {}
  // Who asked is told in any case, also where memory ended before anybody could.
  ~Scheduled() {
    if (is_queued && !ended) end(fail(ErrorCode::kOutOfMemory, "out of memory"));
  }
  Scheduled(const Scheduled&) = delete;
  Scheduled& operator=(const Scheduled&) = delete;

  // Tells who asked. Once.
  void end(Result<Generation> result) {
    ended = true;
    if (request.on_end) request.on_end(std::move(result));
  }
  bool stop_requested() const { return request.callbacks.stop.stop_requested(); }

  Request request;
  uint64_t number = 0;         // of its arrival
  size_t capacity_tokens = 0;  // prompt and answer
  uint64_t reserved_bytes = 0;
  std::chrono::steady_clock::time_point arrived = std::chrono::steady_clock::now();
  bool is_queued = false;
  bool is_admitted = false;
  bool ended = false;
  // Wakes the scheduler where the request is stopped.
  std::optional<std::stop_callback<std::function<void()>>> on_stop;

  // From its admission on.
  std::unique_ptr<Session::Impl> session;
  std::optional<Answer> answer;
  std::optional<PrefixPlan> prefix_plan;  // none: nothing is taken from the store or left to it
  PrefixStore::Hit hit;
  size_t n_dense = 0;  // first tokens that are computed by the whole model, or were

  size_t n_recompute = 1;  // newest tokens that are computed in any case

  // While it waits: the number of the one whose prompt it waits for, the work that was left of that, and the
  // turns since in which nothing of it was done.
  std::optional<uint64_t> joined;
  double work_left_of_joined = 0;
  size_t n_idle_turns = 0;

  // The next step computes tokens that the whole model computes, before those of the plan.
  bool is_in_dense_part() const { return session->cache.n_tokens() < n_dense; }
};

}  // namespace lazyfill
