#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "engine/tiny_engine.h"
#include "lazyfill/scheduler.h"

namespace lazyfill {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;

GenerateOptions guided(const std::string& regex, uint64_t seed = 1) {
  return {.max_tokens = 80,
          .sampling = {.temperature = 1.5F, .top_k = 0, .top_p = 1, .min_p = 0, .seed = seed},
          .guide = {.kind = GuideKind::kRegex, .source = regex}};
}

class GuidedAnswers : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { engine_ = new Engine(load_tiny_engine(2)); }
  static void TearDownTestSuite() {
    delete engine_;
    engine_ = nullptr;
  }
  static Session session() { return std::move(*engine_->start_session({.lazy = {.schedule = "1:0.5"}})); }
  static Engine* engine_;
};
Engine* GuidedAnswers::engine_ = nullptr;

TEST_F(GuidedAnswers, MatchTheirExpressionAndEndThere) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    Session one = session();
    const auto answer = one.generate(some_tokens(20, 1), guided("[0-9][0-9][0-9]-(the|a)", seed), {});
    ASSERT_TRUE(answer) << answer.error().message;
    EXPECT_THAT(answer->text, MatchesRegex("[0-9][0-9][0-9]-(the|a)"));
    EXPECT_EQ(answer->finish_reason, FinishReason::kStop);
    // Its tokens are those of its text.
    EXPECT_EQ(answer->token_ids, *engine_->tokenize(answer->text, false));
    // The session goes on behind it.
    EXPECT_EQ(one.tokens().size(), 20 + answer->token_ids.size());
  }
}

TEST_F(GuidedAnswers, AreCutByTheirLengthAsOthersAre) {
  Session one = session();
  GenerateOptions options = guided("[a-z]+");
  options.max_tokens = 6;
  options.sampling.logit_bias = {{257, -100}};
  const auto answer = one.generate(some_tokens(20, 1), options, {});
  ASSERT_TRUE(answer);
  EXPECT_THAT(answer->text, MatchesRegex("[a-z]+"));
  EXPECT_LE(answer->token_ids.size(), 6U);
}

TEST_F(GuidedAnswers, AreTheSameTogetherWithOthers) {
  std::vector<std::string> alone;
  const std::vector<std::string> expressions = {"[0-9]{8}", "x[a-f]{5}", "(the|that){3}", "[^a-z]{4}"};
  for (size_t i = 0; i < expressions.size(); ++i) {
    Session one = session();
    alone.push_back(
        one.generate(some_tokens(30, static_cast<uint32_t>(i)), guided(expressions[i], i + 1), {})->text);
  }
  auto scheduler = Scheduler::start(*engine_, {.n_threads = 2, .kv_memory_bytes = 64 << 20});
  ASSERT_TRUE(scheduler) << scheduler.error().message;
  std::vector<std::string> together(expressions.size());
  std::vector<Request> requests;
  for (size_t i = 0; i < expressions.size(); ++i) {
    Request request{.tokens = some_tokens(30, static_cast<uint32_t>(i)),
                    .options = guided(expressions[i], i + 1)};
    request.lazy.schedule = "1:0.5";
    request.cache_prompt = false;
    request.on_end = [&together, i](Result<Generation> result) {
      together[i] = result ? result->text : result.error().message;
    };
    requests.push_back(std::move(request));
  }
  ASSERT_TRUE(scheduler->submit(std::move(requests)));
  while (scheduler->status().n_ended < expressions.size()) std::this_thread::yield();
  EXPECT_EQ(together, alone);
}

// Every draft is chosen as a token is: the guide sees each of them.
TEST_F(GuidedAnswers, AreTheSameWithDrafts) {
  GenerateOptions options = guided("(the cat |a dog ){6}");
  options.sampling.temperature = 0;
  std::vector<std::string> texts;
  for (const Draft draft : {Draft::kNone, Draft::kLookup, Draft::kRecycle}) {
    options.draft = draft;
    options.draft_tokens = draft == Draft::kNone ? 0 : 4;
    auto one = engine_->start_session({.lazy = {.schedule = "off"}});
    const auto answer =
        one->generate(*engine_->tokenize("the cat a dog the cat a dog the cat ", false), options, {});
    ASSERT_TRUE(answer) << answer.error().message;
    texts.push_back(answer->text);
    EXPECT_EQ(answer->finish_reason, FinishReason::kStop);
  }
  EXPECT_EQ(texts[1], texts[0]);
  EXPECT_EQ(texts[2], texts[0]);
}

TEST_F(GuidedAnswers, WhatCannotBeIsToldBeforeAnythingIsComputed) {
  EXPECT_TRUE(engine_->check_guide({.kind = GuideKind::kChoice, .choices = {"a"}}));
  EXPECT_THAT(engine_->check_guide({.kind = GuideKind::kRegex, .source = "(a"}).error().message,
              HasSubstr("byte 2"));
  Session one = session();
  const auto answer = one.generate(some_tokens(5, 1), guided("a{2"), {});
  EXPECT_TRUE(answer) << "a brace that is no count stands for itself";
  Session other = session();
  EXPECT_FALSE(other.generate(some_tokens(5, 1), guided("*"), {}));
  EXPECT_TRUE(other.tokens().empty());
  GenerateOptions forced = guided("a");
  forced.forced_tokens = {1, 2};
  const auto both = other.generate(some_tokens(5, 1), forced, {});
  ASSERT_FALSE(both);
  EXPECT_THAT(both.error().message, HasSubstr("forced tokens"));
  auto scheduler = Scheduler::start(*engine_, {.n_threads = 1, .kv_memory_bytes = 64 << 20});
  EXPECT_FALSE(scheduler->submit({.tokens = {1}, .options = guided("[")}));
}

}  // namespace
}  // namespace lazyfill
