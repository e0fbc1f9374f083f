// Sessions whose text is longer than what they hold.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "engine/tiny_engine.h"
#include "lazyfill/scheduler.h"

namespace lazyfill {
namespace {

using testing::HasSubstr;

constexpr StreamOptions kStream{.sinks = 4, .window = 60};
constexpr size_t kHeld = 4 + 60;
const LazyOptions kDense{.schedule = "off"};
const LazyOptions kLazy{.schedule = "1:0.5,3:0.6"};

GenerateOptions greedy(size_t n_tokens) {
  return {.max_tokens = n_tokens, .sampling = {.temperature = 0}, .stop_at_end_token = false};
}

class SessionStreamTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (executor_ == nullptr)
      executor_ = new Executor(*load_tiny_engine(2).start_executor({.n_threads = 2}));  // for all tests
  }

  static Session start(const LazyOptions& lazy = kDense, std::optional<StreamOptions> stream = kStream) {
    return std::move(*executor_->start_session({.lazy = lazy, .stream = stream}));
  }
  static Generation answer(Session& session, const std::vector<int32_t>& prompt, size_t n_tokens) {
    auto generated = session.generate(prompt, greedy(n_tokens), {});
    EXPECT_TRUE(generated) << generated.error().message;
    return generated ? std::move(*generated) : Generation{};
  }

  inline static Executor* executor_ = nullptr;
};

TEST_F(SessionStreamTest, PromptAndAnswerAreLongerThanTheContext) {
  Session session = start();
  const std::vector<int32_t> prompt = some_tokens(700, 1);  // the model's context is 512
  const Generation first = answer(session, prompt, 900);
  EXPECT_EQ(first.token_ids.size(), 900U);
  EXPECT_EQ(first.finish_reason, FinishReason::kLength);
  EXPECT_EQ(first.prompt_token_ids, prompt);
  EXPECT_EQ(first.lazy.computed_fraction, std::vector<double>(6, 1.0));
  EXPECT_EQ(session.n_tokens(), 1600U);
  const uint64_t n_bytes = first.memory.kv_bytes;
  for (uint32_t turn = 0; turn < 12; ++turn) {
    const Generation next = answer(session, some_tokens(150, turn), 150);
    EXPECT_LE(next.memory.kv_bytes, n_bytes + n_bytes / kHeld);
    EXPECT_LE(session.tokens().size(), 1000U);
    EXPECT_EQ(session.tokens().back(), next.token_ids.back());
  }
  EXPECT_EQ(session.n_tokens(), 5200U);
}

TEST_F(SessionStreamTest, AsLongAsItHoldsAllItIsAsWithoutAStream) {
  for (const LazyOptions& lazy : {kDense, kLazy}) {
    LazyOptions with_sinks = lazy;
    with_sinks.protect_first = kStream.sinks;
    Session stream = start(lazy);
    Session plain = start(with_sinks, std::nullopt);
    EXPECT_EQ(answer(stream, some_tokens(40, 1), 10).token_ids,
              answer(plain, some_tokens(40, 1), 10).token_ids);
    EXPECT_EQ(answer(stream, some_tokens(6, 2), 8).token_ids, answer(plain, some_tokens(6, 2), 8).token_ids);
    ASSERT_EQ(stream.n_tokens(), kHeld);
    ASSERT_TRUE(stream.step());
    ASSERT_TRUE(plain.step());
    EXPECT_TRUE(std::ranges::equal(stream.logits(), plain.logits()));
    // The next token pushes one out.
    EXPECT_NE(answer(stream, {5}, 12).token_ids, answer(plain, {5}, 12).token_ids);
  }
}

TEST_F(SessionStreamTest, StepsGiveWhatGenerateGives) {
  for (const LazyOptions& lazy : {kDense, kLazy}) {
    Session one = start(lazy);
    Session other = start(lazy);
    const std::vector<int32_t> prompt = some_tokens(lazy.schedule == "off" ? 300 : 60, 3);
    const Generation generated = answer(one, prompt, 200);
    std::vector<int32_t> tokens;
    ASSERT_TRUE(other.append(prompt));
    for (size_t i = 0; i < 200; ++i) {
      ASSERT_TRUE(other.step());
      tokens.push_back(*other.sample({.temperature = 0}));
    }
    EXPECT_EQ(tokens, generated.token_ids);
    EXPECT_EQ(other.n_tokens(), one.n_tokens());
  }
}

TEST_F(SessionStreamTest, ADocumentThatFitsIsPrunedAndThenStreams) {
  Session session = start(kLazy);
  const Generation first = answer(session, some_tokens(60, 1), 300);
  EXPECT_TRUE(first.lazy_used);
  ASSERT_EQ(first.lazy.kept.size(), 2U);
  EXPECT_THAT(std::vector(first.lazy.kept[1].begin(), first.lazy.kept[1].begin() + 4),
              testing::ElementsAre(0, 1, 2, 3));
  EXPECT_LT(first.lazy.computed_fraction.back(), 0.5);
  EXPECT_GT(first.lazy.revived_rows, 0U);
  // What is longer is read in pieces, where nobody can choose.
  const Generation second = answer(session, some_tokens(200, 2), 50);
  EXPECT_FALSE(second.lazy_used);
}

TEST_F(SessionStreamTest, WhatCannotBeIsRefused) {
  const auto sentence_of = [&](const SessionOptions& options) {
    const auto session = executor_->start_session(options);
    return session ? std::string("no error") : session.error().message;
  };
  EXPECT_THAT(sentence_of({.stream = StreamOptions{4, 0}}), HasSubstr("at least one token"));
  EXPECT_THAT(sentence_of({.stream = StreamOptions{4, 509}}), HasSubstr("smaller window"));
  EXPECT_THAT(sentence_of({.context_tokens = 100, .stream = StreamOptions{4, 97}}),
              HasSubstr("context's 100"));
  EXPECT_THAT(sentence_of({.stream = StreamOptions{SIZE_MAX, SIZE_MAX}}), HasSubstr("smaller window"));
  EXPECT_EQ(sentence_of({.lazy = kDense, .stream = StreamOptions{4, 508}}), "no error");
  for (const auto& [name, lazy] : ways_to_be_lazy()) {
    if (name == "dense" || policy_info(*lazy.policy).leaves == Leaves::kRows) continue;
    EXPECT_THAT(sentence_of({.lazy = lazy, .stream = kStream}), HasSubstr(name));
    Session session = start();
    EXPECT_FALSE(session.set_lazy(lazy));
  }
  Session session = start(kLazy);
  const auto long_prompt = session.generate(some_tokens(300, 1), greedy(5), {});
  ASSERT_FALSE(long_prompt);
  EXPECT_THAT(long_prompt.error().message, HasSubstr("read in pieces"));
  EXPECT_EQ(session.n_tokens(), 0U);
  GenerateOptions drafts = greedy(5);
  drafts.draft = Draft::kLookup;
  EXPECT_FALSE(session.generate(some_tokens(30, 1), drafts, {}));
}

TEST_F(SessionStreamTest, GoesBackAsFarAsItHolds) {
  Session session = start();
  answer(session, some_tokens(300, 1), 5);
  const auto refused = session.rewind(100);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("forgotten"));
  EXPECT_EQ(session.n_tokens(), 305U);
  ASSERT_TRUE(session.rewind(280));
  EXPECT_EQ(session.n_tokens(), 280U);
  answer(session, some_tokens(5, 2), 5);
  ASSERT_TRUE(session.rewind(0));
  Session fresh = start();
  EXPECT_EQ(answer(session, some_tokens(90, 3), 20).token_ids,
            answer(fresh, some_tokens(90, 3), 20).token_ids);
}

TEST_F(SessionStreamTest, KnowsTheTextThatItHasForgotten) {
  Session session = start();
  const std::vector<int32_t> prompt = some_tokens(900, 1);
  std::vector<int32_t> said = prompt;
  for (int32_t token : answer(session, prompt, 200).token_ids) said.push_back(token);
  ASSERT_LT(session.tokens().size(), said.size());
  std::vector<int32_t> more = said;
  more.insert(more.end(), {7, 8, 9});
  EXPECT_EQ(*session.sync(more), said.size());
  EXPECT_EQ(session.n_tokens(), more.size());
  answer(session, {}, 3);
  // Another beginning: all of it is read again.
  more[10] ^= 1;
  EXPECT_EQ(*session.sync(more), 0U);
  Session fresh = start();
  EXPECT_EQ(answer(session, {}, 20).token_ids, answer(fresh, more, 20).token_ids);
}

// As it was before the call, or, where tokens have been forgotten since, before the step that failed.
TEST_F(SessionStreamTest, AFailureLeavesWhatIsComputed) {
  for (const size_t n_before : {20U, 200U}) {
    SCOPED_TRACE(n_before);
    Session session = start();
    Session undisturbed = start();
    for (Session* each : {&session, &undisturbed}) answer(*each, some_tokens(n_before, 1), 3);
    std::vector<int32_t> forced = some_tokens(10, 5);
    forced.push_back(kPoison);
    forced.push_back(3);
    GenerateOptions options = greedy(forced.size());
    options.forced_tokens = forced;
    const auto failed = session.generate(some_tokens(4, 2), options, {});
    ASSERT_FALSE(failed);
    EXPECT_EQ(failed.error().code, ErrorCode::kInvalidFile);
    if (n_before == 200) {
      options.forced_tokens.resize(10);
      options.max_tokens = 10;
      ASSERT_TRUE(undisturbed.generate(some_tokens(4, 2), options, {}));
      ASSERT_TRUE(undisturbed.step());
    }
    EXPECT_EQ(session.n_tokens(), undisturbed.n_tokens());
    EXPECT_EQ(session.tokens(), undisturbed.tokens());
    EXPECT_EQ(answer(session, {6, 7}, 30).token_ids, answer(undisturbed, {6, 7}, 30).token_ids);
  }
}

TEST_F(SessionStreamTest, AStopInALongPromptKeepsItsFirstPieces) {
  Session session = start();
  std::stop_source stop;
  double last = 0;
  const auto watch = [&](const Progress& progress) {
    EXPECT_GE(progress.fraction, last);
    EXPECT_LE(progress.fraction, 1);
    last = progress.fraction;
    if (progress.fraction > 0.5) stop.request_stop();
  };
  const auto stopped =
      session.generate(some_tokens(900, 1), greedy(3), {.on_progress = watch, .stop = stop.get_token()});
  ASSERT_FALSE(stopped);
  EXPECT_EQ(stopped.error().code, ErrorCode::kCancelled);
  EXPECT_GT(session.n_tokens(), 300U);
  EXPECT_LT(session.n_tokens(), 900U);
  ASSERT_TRUE(session.sync(some_tokens(900, 1)));
  answer(session, {}, 5);
}

TEST_F(SessionStreamTest, AScheduledRequestHasTheAnswerOfASession) {
  Scheduler scheduler = *Scheduler::start(*executor_, {.context_tokens = 100, .turn_ms = 0.001});
  for (const LazyOptions& lazy : {kDense, kLazy}) {
    const std::vector<int32_t> prompt = some_tokens(lazy.schedule == "off" ? 400 : 62, 4);
    Session session = start(lazy);
    const Generation expected = answer(session, prompt, 150);
    std::vector<Request> requests(3);
    for (Request& request : requests)
      request = {
          .tokens = prompt, .options = greedy(150), .lazy = lazy, .stream = kStream, .n_dense_tokens = 9};
    requests[1].stream.reset();
    requests[1].tokens = some_tokens(40, 5);
    requests[1].options.max_tokens = 40;
    std::vector<Result<Generation>> answers(3);
    std::atomic<size_t> n_left = 3;
    for (size_t i = 0; i < 3; ++i) {
      requests[i].on_end = [&, i](Result<Generation> result) {
        answers[i] = std::move(result);
        --n_left;
        n_left.notify_all();
      };
    }
    ASSERT_TRUE(scheduler.submit(std::move(requests)));
    for (size_t left = n_left; left > 0; left = n_left) n_left.wait(left);
    for (size_t i : {0, 2}) {
      ASSERT_TRUE(answers[i]) << answers[i].error().message;
      EXPECT_EQ(answers[i]->token_ids, expected.token_ids);
      EXPECT_EQ(answers[i]->prefix.n_cached_tokens, 0U);
    }
  }
  EXPECT_EQ(scheduler.status().kv_reserved_bytes, 0U);
  Request wide{.tokens = {1, 2, 3}, .options = greedy(3), .stream = StreamOptions{4, 97}};
  EXPECT_FALSE(scheduler.submit(std::move(wide)));
}

TEST_F(SessionStreamTest, SaysHowLikelyALongTextIs) {
  const std::vector<int32_t> text = some_tokens(1500, 6);
  const auto stream = executor_->token_logprobs(text, {}, kStream);
  ASSERT_TRUE(stream) << stream.error().message;
  ASSERT_EQ(stream->size(), text.size());
  for (float logprob : *stream) EXPECT_TRUE(std::isfinite(logprob));
  const std::vector<int32_t> beginning(text.begin(), text.begin() + 127);
  const auto dense = executor_->token_logprobs(beginning, {});
  // What sees everything has the bits of the dense model: the same rows are read together.
  EXPECT_TRUE(std::equal(stream->begin(), stream->begin() + kHeld, dense->begin()));
  EXPECT_FALSE(std::equal(dense->begin(), dense->end(), stream->begin()));
  EXPECT_FALSE(executor_->token_logprobs(text, {}));
}

}  // namespace
}  // namespace lazyfill
