// Tokens that were given and are taken back before they are computed, and rows that are no numbers.
#include <gtest/gtest.h>

#include <functional>

#include "engine/tiny_engine.h"

namespace lazyfill {
namespace {

constexpr size_t kPrompt = 50;
const SamplingOptions kGreedy{.temperature = 0};

class SessionRewindTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (executor_ == nullptr)
      executor_ = new Executor(*load_tiny_engine(1).start_executor({.n_threads = 1}));  // for all tests
  }

  // With a prompt and the beginning of its answer; the last token is not computed. Other options count from
  // the next prompt on.
  static Session start(const LazyOptions& lazy) {
    Session session = std::move(*executor_->start_session({.context_tokens = 120, .lazy = lazy}));
    EXPECT_TRUE(session.append(some_tokens(kPrompt, 1)));
    for (int i = 0; i < 3; ++i) {
      EXPECT_TRUE(session.step());
      EXPECT_TRUE(session.sample(kGreedy));
    }
    const bool is_final = lazy.policy && policy_info(*lazy.policy).leaves == Leaves::kColumns;
    EXPECT_EQ(!session.set_lazy({.schedule = "1:0.2,2:0.2", .policy = Policy::kRecent}), is_final);
    return session;
  }

  // The logits of the steps to come.
  static std::vector<std::vector<float>> go_on(Session& session) {
    std::vector<std::vector<float>> logits;
    for (int i = 0; i < 4; ++i) {
      const auto done = session.step();
      EXPECT_TRUE(done) << done.error().message;
      logits.emplace_back(session.logits().begin(), session.logits().end());
      EXPECT_TRUE(session.sample(kGreedy));
    }
    return logits;
  }

  inline static Executor* executor_ = nullptr;
};

TEST_F(SessionRewindTest, APromptTakenBackIsAsIfItHadNotBeenGiven) {
  for (const auto& [name, lazy] : ways_to_be_lazy()) {
    SCOPED_TRACE(name);
    Session undisturbed = start(lazy);
    Session session = start(lazy);
    const size_t n = session.tokens().size();
    ASSERT_TRUE(session.append(some_tokens(20, 2)));
    ASSERT_TRUE(session.append(some_tokens(5, 3)));
    ASSERT_TRUE(session.rewind(n));
    EXPECT_EQ(go_on(session), go_on(undisturbed));
  }
}

TEST_F(SessionRewindTest, LogitsThatSomebodyKeepsStayAsTheyAre) {
  std::vector<std::shared_ptr<const std::vector<float>>> kept;
  std::vector<std::vector<float>> copies;
  {
    Session session = start({.schedule = "off"});
    EXPECT_EQ(session.shared_logits(), nullptr);
    for (int i = 0; i < 3; ++i) {
      ASSERT_TRUE(session.step());
      kept.push_back(session.shared_logits());
      EXPECT_EQ(kept.back()->data(), session.logits().data());  // no copy
      copies.push_back(*kept.back());
      ASSERT_TRUE(session.sample(kGreedy));
    }
    const std::vector<int32_t> poisoned = {1, kPoison};
    ASSERT_FALSE(session.generate(poisoned, {.max_tokens = 2}, {}));
  }
  for (size_t i = 0; i < kept.size(); ++i) EXPECT_EQ(*kept[i], copies[i]);
  EXPECT_NE(copies[0], copies[1]);
}

TEST_F(SessionRewindTest, SoIsOneWhoseStepFailed) {
  for (const auto& [name, lazy] : ways_to_be_lazy()) {
    SCOPED_TRACE(name);
    Session undisturbed = start(lazy);
    Session session = start(lazy);
    const size_t n = session.tokens().size();
    ASSERT_TRUE(session.append(std::vector<int32_t>{1, 2, kPoison}));
    ASSERT_FALSE(session.step());
    ASSERT_TRUE(session.rewind(n));
    EXPECT_EQ(go_on(session), go_on(undisturbed));
  }
}

// What another policy would look at is not there any more.
TEST_F(SessionRewindTest, ColumnsThatLeftForGoodAllowNoOtherPolicy) {
  Session session = start({.schedule = "1:0.5", .policy = Policy::kSnapKv});
  for (const LazyOptions& lazy :
       {LazyOptions{.schedule = "off"}, {.schedule = "3:0.5", .policy = Policy::kLazy}}) {
    const auto set = session.set_lazy(lazy);
    ASSERT_FALSE(set);
    EXPECT_EQ(set.error().code, ErrorCode::kInvalidArgument);
  }
  EXPECT_TRUE(session.set_lazy({.schedule = "3:0.5", .policy = Policy::kSnapKv}));
  EXPECT_TRUE(session.step());
  ASSERT_TRUE(session.rewind(0));
  EXPECT_TRUE(session.set_lazy({.schedule = "off"}));
  ASSERT_TRUE(session.append(some_tokens(10, 1)));
  EXPECT_TRUE(session.step());
}

TEST_F(SessionRewindTest, WhatIsLeftOfAPromptIsOne) {
  for (const auto& [name, lazy] : ways_to_be_lazy()) {
    SCOPED_TRACE(name);
    Session undisturbed = start(lazy);
    Session session = start(lazy);
    const std::vector<int32_t> prompt = some_tokens(20, 2);
    ASSERT_TRUE(session.append(prompt));
    ASSERT_TRUE(session.rewind(session.tokens().size() - 13));
    ASSERT_TRUE(undisturbed.append(std::span(prompt).first(7)));
    EXPECT_EQ(go_on(session), go_on(undisturbed));
  }
}

// Wherever it stands, and whether it stays to the end, leaves on the way or is never chosen.
TEST_F(SessionRewindTest, ARowThatIsNoNumberIsAnErrorAnywhereInAPrompt) {
  for (const auto& [name, lazy] : ways_to_be_lazy()) {
    for (const size_t at : {size_t{0}, size_t{1}, kPrompt / 2, kPrompt - 2, kPrompt - 1}) {
      SCOPED_TRACE(name + " at " + std::to_string(at));
      Session session = std::move(*executor_->start_session({.context_tokens = 120, .lazy = lazy}));
      std::vector<int32_t> prompt = some_tokens(kPrompt, 1);
      prompt[at] = kPoison;
      const auto generation = session.generate(prompt, {.max_tokens = 1}, {});
      ASSERT_FALSE(generation);
      EXPECT_EQ(generation.error().code, ErrorCode::kInvalidFile);
      EXPECT_NE(generation.error().message.find("no finite numbers"), std::string::npos);
      EXPECT_TRUE(session.tokens().empty());
    }
  }
}

}  // namespace
}  // namespace lazyfill
