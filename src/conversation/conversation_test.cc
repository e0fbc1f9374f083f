#include "conversation/conversation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <memory>
#include <stop_token>
#include <string>

#include "engine/tiny_model_file.h"

namespace lazyfill {
namespace {

using Tokens = std::vector<int32_t>;

constexpr size_t kAnswer = 4;
constexpr size_t kContext = 100;

TEST(CommonPrefix, CountsEqualTokens) {
  EXPECT_EQ(common_prefix(Tokens{1, 2, 3}, Tokens{1, 2, 4, 5}), 2U);
  EXPECT_EQ(common_prefix(Tokens{1, 2}, Tokens{1, 2, 3}), 2U);
  EXPECT_EQ(common_prefix(Tokens{}, Tokens{1}), 0U);
  EXPECT_EQ(common_prefix(Tokens{2}, Tokens{1}), 0U);
}

Tokens text(size_t n, int32_t first) {
  Tokens tokens(n);
  for (size_t i = 0; i < n; ++i) tokens[i] = (first + static_cast<int32_t>(i * i)) % 190;
  return tokens;
}

Tokens operator+(Tokens a, const Tokens& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

GenerateOptions greedy() {
  GenerateOptions options;
  options.max_tokens = kAnswer;
  options.sampling.temperature = 0;
  options.stop_at_end_token = false;
  return options;
}

class ConversationTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    const std::string path = testing::TempDir() + "conversation_test_" + std::to_string(getpid()) + ".gguf";
    const auto saved = TinyModelFile({.n_layers = 4}).save(path);
    ASSERT_TRUE(saved) << saved.error().message;
    auto loaded = Engine::load(path, {.n_threads = 1});
    ASSERT_TRUE(loaded) << loaded.error().message;
    engine_ = std::make_unique<Engine>(std::move(*loaded));
    unlink(path.c_str());
  }
  static void TearDownTestSuite() { engine_.reset(); }

  static Conversation start(Policy policy = Policy::kLazy, const std::string& schedule = "off") {
    LazyOptions lazy;
    lazy.schedule = schedule;
    lazy.policy = policy;
    auto session = engine_->start_session({.context_tokens = kContext, .lazy = lazy});
    EXPECT_TRUE(session) << session.error().message;
    return Conversation(std::move(*session));
  }
  static Conversation start_filtered() { return start(Policy::kGemFilter, "1:0.5"); }

  // What is said and what comes back.
  static Generation turn(Conversation& conversation, const Tokens& tokens) {
    const auto n_new = conversation.sync(tokens);
    EXPECT_TRUE(n_new) << n_new.error().message;
    auto generation = conversation.generate(greedy(), {});
    EXPECT_TRUE(generation) << generation.error().message;
    return generation ? std::move(*generation) : Generation{};
  }

  static inline std::unique_ptr<Engine> engine_;
};

TEST_F(ConversationTest, ComputesOnlyWhatIsNew) {
  Conversation conversation = start();
  const Tokens first = text(30, 3);
  EXPECT_EQ(*conversation.sync(first), 30U);
  const auto answer = conversation.generate(greedy(), {});
  ASSERT_TRUE(answer);
  const Tokens said = first + answer->token_ids;
  EXPECT_EQ(conversation.tokens(), said);
  EXPECT_EQ(conversation.session().tokens(), said);
  EXPECT_EQ(*conversation.sync(said + Tokens{7, 8, 9}), 3U);
  EXPECT_EQ(conversation.tokens(), (said + Tokens{7, 8, 9}));
}

TEST_F(ConversationTest, AnAnswerThatIsSpelledOtherwiseIsTakenBack) {
  const Tokens first = text(30, 3);
  Conversation conversation = start();
  Tokens answer = turn(conversation, first).token_ids;
  answer[1] = (answer[1] + 1) % 190;
  const Tokens second = first + answer + text(5, 60);
  EXPECT_EQ(*conversation.sync(second), kAnswer - 1 + 5);
  Conversation anew = start();
  EXPECT_EQ(turn(conversation, second).token_ids, turn(anew, second).token_ids);
  EXPECT_EQ(conversation.tokens(), anew.tokens());
}

TEST_F(ConversationTest, TheSameAgainStillHasALastTokenToCompute) {
  Conversation conversation = start();
  const Tokens tokens = text(20, 3);
  const Generation first = turn(conversation, tokens);
  EXPECT_EQ(*conversation.sync(tokens), 1U);
  EXPECT_EQ(turn(conversation, tokens).token_ids, first.token_ids);
  // Shorter than what is held, and nothing in common with it.
  EXPECT_EQ(*conversation.sync(text(10, 3)), 1U);
  EXPECT_EQ(*conversation.sync(text(10, 4)), 10U);
  EXPECT_EQ(conversation.tokens(), text(10, 4));
}

TEST_F(ConversationTest, ErrorsAddNothing) {
  for (Conversation& conversation : std::array{start(), start_filtered()}) {
    const Tokens first = text(30, 3);
    turn(conversation, first);
    const Tokens said = conversation.tokens();
    for (const Tokens& wrong : {Tokens{}, said + text(kContext, 5), said + Tokens{100000}}) {
      EXPECT_FALSE(conversation.sync(wrong));
      EXPECT_LE(conversation.tokens().size(), said.size());
      EXPECT_TRUE(std::equal(conversation.tokens().begin(), conversation.tokens().end(), said.begin()));
    }
    EXPECT_FALSE(conversation.rewind(said.size() + 1));
    ASSERT_TRUE(conversation.sync(said + Tokens{5}));
    EXPECT_TRUE(conversation.generate(greedy(), {}));
  }
}

TEST_F(ConversationTest, AStoppedTurnCanBeAskedAgainOrBeForgotten) {
  const Tokens first = text(30, 3);
  for (const Tokens& next : {first + text(5, 60), first + text(9, 80), text(12, 9)}) {
    Conversation conversation = start();
    ASSERT_TRUE(conversation.sync(first + text(5, 60)));
    std::stop_source source;
    source.request_stop();
    Callbacks callbacks;
    callbacks.stop = source.get_token();
    const auto stopped = conversation.generate(greedy(), callbacks);
    ASSERT_FALSE(stopped);
    EXPECT_EQ(stopped.error().code, ErrorCode::kCancelled);
    Conversation anew = start();
    EXPECT_EQ(turn(conversation, next).token_ids, turn(anew, next).token_ids);
  }
}

TEST_F(ConversationTest, WhatAFilterLeftOutIsStillSaid) {
  Conversation conversation = start_filtered();
  const Tokens first = text(40, 3);
  const Tokens said = first + turn(conversation, first).token_ids;
  EXPECT_EQ(conversation.tokens(), said);
  EXPECT_EQ(conversation.session().tokens().size(), 20 + kAnswer);
  // The next turn is added to what was chosen.
  EXPECT_EQ(*conversation.sync(said + Tokens{7, 8, 9}), 3U);
  EXPECT_EQ(conversation.session().tokens().size(), 20 + kAnswer + 3);
  // A document that is read first: its end is the end of what was chosen.
  ASSERT_TRUE(conversation.rewind(40));
  EXPECT_EQ(conversation.session().tokens().size(), 20U);
  EXPECT_EQ(*conversation.sync(first + Tokens{9}), 1U);
}

TEST_F(ConversationTest, RewindingIntoAFilteredPromptKeepsWhatWasChosenBefore) {
  Conversation conversation = start_filtered();
  const Tokens first = text(40, 3);
  const Generation answer = turn(conversation, first);
  const Tokens chosen = answer.lazy.kept.front();
  const auto n_before = [&](int32_t end) {
    return static_cast<size_t>(std::lower_bound(chosen.begin(), chosen.end(), end) - chosen.begin());
  };
  ASSERT_GT(n_before(25), 0U);
  const Tokens second = Tokens(first.begin(), first.begin() + 25) + text(6, 100);
  EXPECT_EQ(*conversation.sync(second), 6U);
  const Tokens& held = conversation.session().tokens();
  ASSERT_EQ(held.size(), n_before(25) + 6);
  for (size_t i = 0; i < n_before(25); ++i) EXPECT_EQ(held[i], first[static_cast<size_t>(chosen[i])]);
  // Rewound further still, and to where nothing is held: all is new, and chosen from anew.
  ASSERT_TRUE(conversation.rewind(static_cast<size_t>(chosen[0])));
  EXPECT_TRUE(conversation.session().tokens().empty());
  EXPECT_EQ(*conversation.sync(first), 40U);
  EXPECT_EQ(turn(conversation, first).token_ids, answer.token_ids);
  EXPECT_EQ(conversation.session().tokens().size(), 20 + kAnswer);
}

TEST_F(ConversationTest, ThePartThatStaysIsComputedByTheWholeModel) {
  const LazyOptions lazy{.schedule = "1:0.2", .policy = Policy::kFocus};
  const Tokens system = text(20, 3);
  const Tokens prompt = system + text(30, 70);
  Conversation conversation = start(Policy::kFocus, "1:0.2");
  ASSERT_TRUE(conversation.compute_dense(system, lazy, {}));
  EXPECT_EQ(conversation.tokens(), system);
  EXPECT_EQ(*conversation.sync(prompt), 30U);
  const auto answer = conversation.generate(greedy(), {});
  ASSERT_TRUE(answer);
  EXPECT_TRUE(answer->lazy_used);
  const std::vector<double>& computed = answer->lazy.computed_fraction;
  EXPECT_GE(computed.back() * 50, 20);  // all of the system message
  EXPECT_LT(computed.back(), 1);        // and not all of the rest
  Conversation without = start(Policy::kFocus, "1:0.2");
  EXPECT_LT(turn(without, prompt).lazy.computed_fraction.back() * 50, 20);
}

TEST_F(ConversationTest, ThePartThatStaysFollowsAnother) {
  const LazyOptions lazy{.schedule = "1:0.2", .policy = Policy::kFocus};
  Conversation conversation = start(Policy::kFocus, "1:0.2");
  ASSERT_TRUE(conversation.compute_dense(text(20, 3), lazy, {}));
  turn(conversation, text(20, 3) + text(30, 70));
  ASSERT_TRUE(conversation.compute_dense(text(25, 9), lazy, {}));
  EXPECT_EQ(conversation.tokens(), text(25, 9));
  std::stop_source stop;
  stop.request_stop();
  const auto stopped = conversation.compute_dense(text(15, 40), lazy, {.stop = stop.get_token()});
  ASSERT_FALSE(stopped);
  EXPECT_EQ(stopped.error().code, ErrorCode::kCancelled);
  EXPECT_TRUE(turn(conversation, text(40, 9)).lazy_used);
}

}  // namespace
}  // namespace lazyfill
