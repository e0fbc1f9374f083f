// That an answer does not depend on company, and what requests and schedulers cannot be.
#include "lazyfill/scheduler.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <map>

#include "engine/scheduler_watch.h"

namespace lazyfill {
namespace {

TEST(Scheduler, AnAnswerIsThatOfASessionAlone) {
  for (const double turn_ms : {0.001, 50.0}) {
    Scheduler scheduler = scheduler_of({.turn_ms = turn_ms, .pack_tokens = 200});
    std::vector<Request> requests;
    for (uint32_t i = 0; i < 14; ++i)
      requests.push_back(request_of(3 + 29 * (i % 7) + i, i, 1 + i % 9, i % 3 == 0 ? kDense : kFocused));
    std::vector<std::future<Result<Generation>>> answers;
    for (const Request& request : requests)
      answers.push_back(std::async(std::launch::async, [&] { return scheduler.generate(request); }));
    for (size_t i = 0; i < requests.size(); ++i) {
      const auto answer = answers[i].get();
      ASSERT_TRUE(answer) << answer.error().message;
      expect_same(*answer, alone(requests[i]));
    }
  }
}

TEST(Scheduler, EveryPolicyByWhichRowsLeave) {
  Journal journal;
  Scheduler scheduler = scheduler_of({.turn_ms = 0.001});
  std::map<std::string, Request> requests;
  for (const auto& [name, lazy] : ways_to_be_lazy()) {
    Request request = request_of(90, 5, 6, lazy);
    if (name != "dense" && policy_info(*lazy.policy).leaves != Leaves::kRows) {
      const auto refused = scheduler.submit(request);
      ASSERT_FALSE(refused);
      EXPECT_NE(refused.error().message.find(name), std::string::npos);
      continue;
    }
    requests[name] = request;
    ASSERT_TRUE(scheduler.submit(journal.of(name, request)));
  }
  for (const auto& [name, request] : requests) {
    const auto answer = journal.result(name);
    ASSERT_TRUE(answer) << name;
    expect_same(*answer, alone(request));
  }
}

TEST(Scheduler, PaddingChangesTheWorkAndNotTheAnswer) {
  Journal journal;
  Scheduler scheduler = scheduler_of({.pad_prompts = true});
  std::vector<Request> requests;
  std::vector<Request> asked;
  for (uint32_t i = 0; i < 6; ++i) {
    requests.push_back(request_of(5 + 20 * i, i, 3));
    asked.push_back(journal.of(std::to_string(i), requests.back()));
  }
  ASSERT_TRUE(scheduler.submit(std::move(asked)));
  for (uint32_t i = 0; i < 6; ++i) expect_same(*journal.result(std::to_string(i)), alone(requests[i]));
}

TEST(Scheduler, SeveralAreQueuedTogetherOrNotAtAll) {
  std::atomic<int> n_ends{0};
  Scheduler scheduler = scheduler_of({.max_queue = 3});
  const auto some = [&](size_t n) {
    std::vector<Request> requests(n, request_of(9, 1));
    for (Request& request : requests) request.on_end = [&](const Result<Generation>&) { ++n_ends; };
    return requests;
  };
  EXPECT_FALSE(scheduler.submit(some(4)));
  std::vector<Request> with_bad = some(2);
  with_bad[1].tokens = {999999};
  EXPECT_FALSE(scheduler.submit(std::move(with_bad)));
  EXPECT_TRUE(scheduler.generate(request_of(9, 1)));
  EXPECT_EQ(n_ends, 0);
}

TEST(Scheduler, OneOfAPackIsStopped) {
  Journal journal;
  std::stop_source stop;
  Gate gate;
  Scheduler scheduler = scheduler_of({.turn_ms = 0.001});
  std::vector<Request> asked;
  asked.push_back(held_at(gate, journal.of("stopped", request_of(120, 1))));
  asked.back().callbacks.stop = stop.get_token();
  asked.push_back(journal.of("other", request_of(130, 2)));
  ASSERT_TRUE(scheduler.submit(std::move(asked)));
  gate.wait_until_reached();
  stop.request_stop();
  gate.open();
  EXPECT_FALSE(journal.result("stopped"));
  expect_same(*journal.result("other"), alone(request_of(130, 2)));
  EXPECT_LT(journal.first(".stopped"), journal.first("+other"));
}

TEST(Scheduler, WhatIsLeftAtTheEndIsCancelled) {
  Journal journal;
  {
    Scheduler scheduler = scheduler_of({.max_sequences = 1});
    ASSERT_TRUE(scheduler.submit(journal.of("running", request_of(5, 1, 500))));
    ASSERT_TRUE(scheduler.submit(journal.of("queued", request_of(5, 2))));
    journal.wait_for("+running");
  }
  for (const char* name : {"running", "queued"}) {
    ASSERT_EQ(journal.count(std::string(".") + name), 1U) << name;
    EXPECT_EQ(journal.result(name).error().code, ErrorCode::kCancelled) << name;
  }
}

TEST(Scheduler, ErrorsComeAtOnce) {
  Scheduler scheduler = scheduler_of({.context_tokens = 100});
  const auto code_of = [&](const Request& request) {
    const auto refused = scheduler.submit(request);
    EXPECT_FALSE(refused);
    return refused ? ErrorCode::kBusy : refused.error().code;
  };
  EXPECT_EQ(code_of(request_of(0, 1)), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code_of(request_of(101, 1)), ErrorCode::kContextExceeded);
  Request unknown = request_of(5, 1);
  unknown.tokens[2] = -1;
  EXPECT_EQ(code_of(unknown), ErrorCode::kInvalidArgument);
  unknown = request_of(5, 1);
  unknown.options.forced_tokens = {100000};
  EXPECT_EQ(code_of(unknown), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code_of(request_of(5, 1, 4, {.schedule = "99:0.5"})), ErrorCode::kInvalidArgument);
  const auto full = scheduler.generate(request_of(100, 1, 50));  // no room for an answer but its first token
  ASSERT_TRUE(full);
  EXPECT_EQ(full->token_ids.size(), 1U);
}

TEST(Scheduler, SchedulersThatCannotBe) {
  for (const SchedulerOptions& options :
       {SchedulerOptions{.context_tokens = 513}, SchedulerOptions{.max_sequences = 0},
        SchedulerOptions{.turn_ms = 0}, SchedulerOptions{.turn_ms = -1}}) {
    EXPECT_FALSE(Scheduler::start(tiny_engine(), options));
  }
}

TEST(Scheduler, StatusCounts) {
  Scheduler scheduler = scheduler_of();
  for (uint32_t i = 0; i < 3; ++i) ASSERT_TRUE(scheduler.generate(request_of(10 + i, i, 4)));
  ASSERT_TRUE(scheduler.generate(request_of(10, 9, 1)));  // the status is that of the turn before
  const SchedulerStatus status = scheduler.status();
  EXPECT_GE(status.n_ended, 3U);
  EXPECT_GE(status.n_prompt_tokens, 33U);
  EXPECT_GE(status.n_generated_tokens, 12U);
  EXPECT_EQ(status.kv_memory_bytes, uint64_t{1} << 30);
}

}  // namespace
}  // namespace lazyfill
