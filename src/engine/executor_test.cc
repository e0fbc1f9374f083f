#include <gtest/gtest.h>

#include <optional>
#include <thread>

#include "engine/tiny_engine.h"

namespace lazyfill {
namespace {

// The answers of a conversation of three turns.
std::vector<std::vector<int32_t>> converse(const Executor& executor, const LazyOptions& lazy, uint32_t seed) {
  std::vector<std::vector<int32_t>> answers;
  auto session = executor.start_session({.context_tokens = 300, .lazy = lazy});
  EXPECT_TRUE(session);
  for (uint32_t turn = 0; turn < 3; ++turn) {
    const GenerateOptions options{
        .max_tokens = 6, .sampling = {.temperature = 0}, .stop_at_end_token = false};
    const auto generated = session->generate(some_tokens(turn == 0 ? 70 : 9, seed + turn), options, {});
    EXPECT_TRUE(generated);
    answers.push_back(generated ? generated->token_ids : std::vector<int32_t>());
  }
  return answers;
}

const LazyOptions kDense{.schedule = "off"};
const LazyOptions kFocused{.schedule = "1:0.5,3:0.6", .policy = Policy::kFocus};

// Runs both at once, each some times.
template <class A, class B>
void at_once(A a, B b) {
  constexpr int kTimes = 4;
  std::jthread other([&] {
    for (int i = 0; i < kTimes; ++i) a();
  });
  for (int i = 0; i < kTimes; ++i) b();
}

TEST(Executor, AnswersDoNotDependOnItsThreads) {
  const Engine engine = load_tiny_engine(1);
  for (const LazyOptions& lazy : {kDense, kFocused}) {
    const auto expected = converse(*engine.start_executor({.n_threads = 1}), lazy, 1);
    for (size_t n_threads : {2, 3, 5}) {
      const auto executor = engine.start_executor({.n_threads = n_threads});
      ASSERT_TRUE(executor);
      EXPECT_EQ(executor->n_threads(), n_threads);
      EXPECT_EQ(converse(*executor, lazy, 1), expected);
    }
  }
}

TEST(Executor, TakesAsManyThreadsAsTheEngineWasLoadedWith) {
  EXPECT_EQ(load_tiny_engine(3).start_executor({})->n_threads(), 3U);
}

TEST(Executor, TwoOfOneEngineComputeAtOnce) {
  const Engine engine = load_tiny_engine(2);
  const auto first = engine.start_executor({.n_threads = 2});
  const auto second = engine.start_executor({.n_threads = 2});
  ASSERT_TRUE(first && second);
  const auto expected_first = converse(*first, kFocused, 1);
  const auto expected_second = converse(*first, kDense, 50);
  at_once([&] { EXPECT_EQ(converse(*first, kFocused, 1), expected_first); },
          [&] { EXPECT_EQ(converse(*second, kDense, 50), expected_second); });
}

TEST(Executor, TwoSessionsOfOneWaitForEachOther) {
  const Engine engine = load_tiny_engine(2);
  const auto executor = engine.start_executor({.n_threads = 2});
  ASSERT_TRUE(executor);
  const auto expected_first = converse(*executor, kFocused, 1);
  const auto expected_second = converse(*executor, kDense, 50);
  at_once([&] { EXPECT_EQ(converse(*executor, kFocused, 1), expected_first); },
          [&] { EXPECT_EQ(converse(*executor, kDense, 50), expected_second); });
}

TEST(Executor, LogprobsBesideASession) {
  const Engine engine = load_tiny_engine(2);
  const auto executor = engine.start_executor({.n_threads = 2});
  ASSERT_TRUE(executor);
  const std::vector<int32_t> text = some_tokens(400, 3);  // two steps
  const auto expected_answers = converse(*executor, kFocused, 1);
  const auto expected = executor->token_logprobs(text, {});
  ASSERT_TRUE(expected) << expected.error().message;
  at_once([&] { EXPECT_EQ(executor->token_logprobs(text, {}).value_or(std::vector<float>()), *expected); },
          [&] { EXPECT_EQ(converse(*executor, kFocused, 1), expected_answers); });
}

// Whoever may read the engine may ask its tokeniser too.
TEST(Executor, ManyThreadsReadOneEngine) {
  const Engine engine = load_tiny_engine(1);
  const auto expected = engine.tokenize("the weather there");
  ASSERT_TRUE(expected);
  const auto executor = engine.start_executor({.n_threads = 1});
  const auto expected_answers = converse(*executor, kFocused, 1);
  at_once(
      [&] {
        EXPECT_EQ(*engine.tokenize("the weather there"), *expected);
        EXPECT_EQ(engine.detokenize(*expected), "the weather there");
        EXPECT_TRUE(engine.resolve_schedule(kFocused, 100));
      },
      [&] { EXPECT_EQ(converse(*executor, kFocused, 1), expected_answers); });
}

TEST(Executor, SessionsKeepItAndTheEngineAlive) {
  std::optional<Session> session;
  {
    const Engine engine = load_tiny_engine(2);
    const auto executor = engine.start_executor({});
    session.emplace(std::move(*executor->start_session({.lazy = kDense})));
  }
  EXPECT_TRUE(session->generate(some_tokens(10, 1), {.max_tokens = 2}, {}));
}

TEST(Executor, ErrorsOfSessionsThatCannotBe) {
  const Engine engine = load_tiny_engine(1);
  const auto executor = engine.start_executor({});
  ASSERT_TRUE(executor);
  const auto code_of = [&](const SessionOptions& options) {
    return executor->start_session(options).error().code;
  };
  EXPECT_EQ(code_of({.context_tokens = 513}), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code_of({.lazy = {.schedule = "9:0.5"}}), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code_of({.lazy = {.schedule = "x"}}), ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace lazyfill
