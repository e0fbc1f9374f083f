// Prompts that begin alike and are there at the same time, and prompts that were stopped and are asked again:
// what is computed of them is computed once.
#include <gtest/gtest.h>

#include <stop_token>

#include "engine/scheduler_watch.h"

namespace lazyfill {
namespace {

Request asked(std::vector<int32_t> tokens, const LazyOptions& lazy) {
  return {.tokens = std::move(tokens),
          .options = {.max_tokens = 5, .sampling = {.temperature = 0}, .stop_at_end_token = false},
          .lazy = lazy};
}

std::vector<int32_t> joined(std::vector<int32_t> first, const std::vector<int32_t>& then) {
  first.insert(first.end(), then.begin(), then.end());
  return first;
}

// Its columns are kept as they are computed, so what is taken up again has the bits of what was never
// stopped.
const Engine& exact_engine() {
  static const Engine engine = load_tiny_engine(2, KvType::kAsComputed, "reference");
  return engine;
}

Scheduler exact_scheduler() {
  auto scheduler = Scheduler::start(exact_engine(), {.kv_memory_bytes = uint64_t{1} << 30});
  EXPECT_TRUE(scheduler);
  return std::move(*scheduler);
}

std::vector<int32_t> exact_answer(const Request& request) {
  auto session = exact_engine().start_session({.lazy = request.lazy});
  EXPECT_TRUE(session);
  const auto answer = session->generate(request.tokens, request.options, {});
  EXPECT_TRUE(answer);
  return answer ? answer->token_ids : std::vector<int32_t>();
}

// Stops its request at the n-th block of rows.
class Stopping {
 public:
  explicit Stopping(size_t n) : n_(n) {}
  Request of(Request request) {
    request.callbacks.stop = source_.get_token();
    request.callbacks.on_progress = [this](const Progress&) {
      if (++n_blocks_ == n_) source_.request_stop();
    };
    return request;
  }
  bool has_stopped() const { return n_blocks_ >= n_; }

 private:
  const size_t n_;
  size_t n_blocks_ = 0;
  std::stop_source source_;
};

class Joining : public testing::TestWithParam<const LazyOptions*> {
 protected:
  const LazyOptions& lazy() const { return *GetParam(); }
  bool is_dense() const { return lazy().schedule == "off"; }
};

TEST_P(Joining, TheSameQuestionAtTheSameTimeIsComputedOnce) {
  Scheduler scheduler = scheduler_of();
  Journal journal;
  const Request question = asked(some_tokens(300, 1), lazy());
  std::vector<Request> four;
  for (const char* name : {"a", "b", "c", "d"}) four.push_back(journal.of(name, question));
  ASSERT_TRUE(scheduler.submit(std::move(four)));
  const Generation first = *journal.result("a");
  EXPECT_EQ(first.prefix.n_cached_tokens, 0U);
  EXPECT_EQ(first.token_ids, alone(question).token_ids);
  for (const char* name : {"b", "c", "d"}) {
    const Generation other = *journal.result(name);
    EXPECT_GE(other.prefix.n_cached_tokens, 300U - 40) << name;
    if (is_dense()) {
      EXPECT_EQ(other.token_ids, first.token_ids) << name;
    }
    EXPECT_EQ(other.token_ids, journal.result("b")->token_ids) << name;
  }
  // A lazy answer adds what its own steps want, so what it leaves is more than its prompt was.
  if (is_dense()) expect_same(*journal.result("b"), *scheduler.generate(question));
}

TEST_P(Joining, OneThatIsStoppedLeavesItsPlaceToWhoWaitsForIt) {
  Scheduler scheduler = exact_scheduler();
  Journal journal;
  const Request question = asked(some_tokens(300, 2), lazy());
  Stopping stopping(6);
  std::vector<Request> both;
  both.push_back(stopping.of(journal.of("stopped", question)));
  both.push_back(journal.of("waits", question));
  ASSERT_TRUE(scheduler.submit(std::move(both)));
  EXPECT_EQ(journal.result("stopped").error().code, ErrorCode::kCancelled);
  const auto waited = journal.result("waits");
  ASSERT_TRUE(waited);
  if (is_dense()) {
    EXPECT_EQ(waited->token_ids, exact_answer(question));
  }
}

TEST_P(Joining, OtherSaltsAndThoseWhoShareNothingDoNotWait) {
  Scheduler scheduler = scheduler_of();
  Journal journal;
  const Request question = asked(some_tokens(300, 3), lazy());
  std::vector<Request> all(3, question);
  all[1].cache_salt = "mine";
  all[2].cache_prompt = false;
  const char* names[] = {"a", "b", "c"};
  for (size_t i = 0; i < 3; ++i) all[i] = journal.of(names[i], all[i]);
  ASSERT_TRUE(scheduler.submit(std::move(all)));
  for (const char* name : names) EXPECT_EQ(journal.result(name)->prefix.n_cached_tokens, 0U) << name;
}

// Wherever it is stopped: between two blocks of rows of any layer.
TEST_P(Joining, WhatIsStoppedIsGoneOnWithWhenItIsAskedAgain) {
  const Request question = asked(some_tokens(260, 4), lazy());
  const std::vector<int32_t> expected = exact_answer(question);
  size_t n_found = 0;
  for (size_t n = 1;; ++n) {
    Scheduler scheduler = exact_scheduler();
    Stopping stopping(n);
    const auto stopped = scheduler.generate(stopping.of(question));
    if (stopped) {
      EXPECT_GT(n, 5U);
      break;
    }
    EXPECT_EQ(stopped.error().code, ErrorCode::kCancelled);
    const auto again = scheduler.generate(question);
    ASSERT_TRUE(again);
    if (is_dense()) {
      EXPECT_EQ(again->token_ids, expected) << "stopped at block " << n;
    }
    n_found += again->prefix.n_cached_tokens >= 260U - 40 ? 1 : 0;
    if (!is_dense()) continue;  // what a lazy answer leaves is more than its prompt was
    // And a third time, of what the second one left.
    EXPECT_EQ(scheduler.generate(question)->token_ids, expected);
    // Another question with the same beginning finds it too.
    Scheduler other = exact_scheduler();
    Stopping stopping_again(n);
    (void)other.generate(stopping_again.of(question));
    const Request longer = asked(joined(question.tokens, some_tokens(40, 5)), lazy());
    EXPECT_EQ(other.generate(longer)->token_ids, exact_answer(longer)) << "stopped at block " << n;
  }
  EXPECT_GT(n_found, 3U);
}

// Each attempt comes to the layer behind that of the one before.
TEST_P(Joining, WhatIsStoppedSeveralTimesIsGoneOnWithEachTime) {
  const Request question = asked(some_tokens(260, 6), lazy());
  Scheduler scheduler = exact_scheduler();
  for (size_t layer = 1; layer < kTinyEngine.n_layers; ++layer) {
    std::stop_source source;
    Request request = question;
    request.callbacks.stop = source.get_token();
    request.callbacks.on_progress = [&](const Progress& progress) {
      if (progress.layer >= layer) source.request_stop();
    };
    EXPECT_FALSE(scheduler.generate(request)) << layer;
  }
  const auto answer = scheduler.generate(question);
  ASSERT_TRUE(answer);
  EXPECT_GE(answer->prefix.n_cached_tokens, 260U - 40);
  if (is_dense()) {
    EXPECT_EQ(answer->token_ids, exact_answer(question));
  }
}

INSTANTIATE_TEST_SUITE_P(Plans, Joining, testing::Values(&kDense, &kFocused),
                         [](const auto& plan) { return plan.param == &kDense ? "dense" : "lazy"; });

TEST(JoiningTest, NobodyWaitsForAPromptThatIsMuchLonger) {
  Scheduler scheduler = scheduler_of();
  Journal journal;
  Gate gate;
  const std::vector<int32_t> system = some_tokens(80, 7);
  ASSERT_TRUE(scheduler.submit(
      held_at(gate, journal.of("long", asked(joined(system, some_tokens(380, 8)), kDense)))));
  gate.wait_until_reached();
  ASSERT_TRUE(scheduler.submit(journal.of("short", asked(joined(system, some_tokens(20, 9)), kDense))));
  gate.open();
  EXPECT_EQ(journal.result("short")->prefix.n_cached_tokens, 0U);
  (void)journal.result("long");
  EXPECT_LT(journal.first(".short"), journal.first(".long"));
}

TEST(JoiningTest, AQueueBehindOneThatWaitsIsNotHeldUp) {
  Scheduler scheduler = scheduler_of();
  Journal journal;
  const Request question = asked(some_tokens(400, 10), kDense);
  std::vector<Request> all;
  all.push_back(journal.of("first", question));
  all.push_back(journal.of("same", question));
  all.push_back(journal.of("other", asked(some_tokens(30, 11), kDense)));
  ASSERT_TRUE(scheduler.submit(std::move(all)));
  EXPECT_GE(journal.result("same")->prefix.n_cached_tokens, 399U);
  (void)journal.result("other");
  EXPECT_LT(journal.first("+other"), journal.first("+same"));
}

}  // namespace
}  // namespace lazyfill
