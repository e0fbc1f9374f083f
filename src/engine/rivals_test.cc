#include "engine/rivals.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <stop_token>
#include <string>
#include <vector>

#include "engine/tiny_model_file.h"
#include "pruning/policy.h"

namespace lazyfill {
namespace {

constexpr size_t kPrompt = 40;
constexpr size_t kAnswer = 5;

// Four layers; the rivals choose half of the prompt at the second.
class Rivals : public testing::TestWithParam<Policy> {
 protected:
  static void SetUpTestSuite() {
    const std::string path = testing::TempDir() + "rivals_test_" + std::to_string(getpid()) + ".gguf";
    const auto saved = TinyModelFile({.n_layers = 4}).save(path);
    ASSERT_TRUE(saved) << saved.error().message;
    auto loaded = Engine::load(path, {.n_threads = 1});
    ASSERT_TRUE(loaded) << loaded.error().message;
    engine_ = new Engine(std::move(*loaded));
    unlink(path.c_str());
  }
  static void TearDownTestSuite() {
    delete engine_;
    engine_ = nullptr;
  }

  static Session start(Policy policy, const std::string& schedule = "1:0.5") {
    LazyOptions lazy;
    lazy.schedule = schedule;
    lazy.policy = policy;
    auto session = engine_->start_session({.lazy = lazy});
    EXPECT_TRUE(session) << session.error().message;
    return std::move(*session);
  }

  static std::vector<int32_t> prompt() {
    std::vector<int32_t> tokens(kPrompt);
    for (size_t i = 0; i < kPrompt; ++i) tokens[i] = static_cast<int32_t>((7 + i * i) % 190);
    return tokens;
  }

  static Generation generate(Session& session, std::vector<int32_t> tokens) {
    GenerateOptions options;
    options.max_tokens = kAnswer;
    options.sampling.temperature = 0;
    options.stop_at_end_token = false;
    options.n_top_logprobs = 3;
    auto generation = session.generate(tokens, options, {});
    EXPECT_TRUE(generation) << generation.error().message;
    return generation ? std::move(*generation) : Generation{};
  }

  static Engine* engine_;
};
Engine* Rivals::engine_ = nullptr;

TEST_P(Rivals, StepsMakeWhatGenerateMakes) {
  Session whole = start(GetParam());
  const Generation expected = generate(whole, prompt());
  Session session = start(GetParam());
  ASSERT_TRUE(session.append(prompt()));
  std::vector<int32_t> answer;
  while (answer.size() < kAnswer) {
    ASSERT_TRUE(session.step());
    answer.push_back(*session.sample({.temperature = 0}));
  }
  EXPECT_EQ(answer, expected.token_ids);
  EXPECT_EQ(session.tokens(), whole.tokens());
}

TEST_P(Rivals, AStoppedPromptLeavesTheSessionAsItWas) {
  Session session = start(GetParam());
  const std::vector<int32_t> tokens = prompt();
  ASSERT_TRUE(session.append(tokens));
  // Stopped at every point where it can be, those of a second pass too.
  size_t n_points = 0;
  while (true) {
    std::stop_source source;
    size_t n_seen = 0;
    Callbacks callbacks;
    callbacks.stop = source.get_token();
    callbacks.on_progress = [&](const Progress&) {
      if (n_seen++ == n_points) source.request_stop();
    };
    const auto done = session.step(callbacks);
    if (done) break;
    ASSERT_EQ(done.error().code, ErrorCode::kCancelled);
    ASSERT_EQ(session.tokens(), tokens) << "stopped at point " << n_points;
    ++n_points;
  }
  EXPECT_GT(n_points, 2U);
  Session other = start(GetParam());
  ASSERT_TRUE(other.append(tokens));
  ASSERT_TRUE(other.step());
  EXPECT_EQ(session.tokens(), other.tokens());
  EXPECT_TRUE(std::ranges::equal(session.logits(), other.logits()));
}

TEST_P(Rivals, TheNextTurnIsAPlainAddition) {
  Session session = start(GetParam());
  generate(session, prompt());
  const size_t n_before = session.tokens().size();
  const Generation second = generate(session, {5, 6, 7});
  EXPECT_EQ(session.tokens().size(), n_before + 3 + kAnswer);
  EXPECT_TRUE(second.lazy.kept.empty());
}

INSTANTIATE_TEST_SUITE_P(Policies, Rivals, testing::Values(Policy::kSnapKv, Policy::kGemFilter),
                         [](const auto& test) { return std::string(policy_info(test.param).name); });

TEST_F(Rivals, GemFilterComputesTheChosenTokensAsAPromptOfTheirOwn) {
  Session session = start(Policy::kGemFilter);
  const Generation filtered = generate(session, prompt());
  ASSERT_EQ(filtered.lazy.kept.size(), 1U);
  std::vector<int32_t> chosen;
  for (const int32_t position : filtered.lazy.kept[0])
    chosen.push_back(prompt()[static_cast<size_t>(position)]);
  EXPECT_EQ(chosen.size(), kPrompt / 2);
  Session alone = start(Policy::kGemFilter, "off");
  EXPECT_EQ(generate(alone, chosen).token_ids, filtered.token_ids);
  EXPECT_EQ(alone.tokens(), session.tokens());
  EXPECT_THAT(filtered.lazy.computed_fraction, testing::ElementsAre(1, 1, 0.5, 0.5));
  EXPECT_TRUE(filtered.lazy.computed_by_step.empty());
}

TEST_F(Rivals, SnapKvAnswersAsDenseAndThenHoldsLess) {
  Session dense = start(Policy::kSnapKv, "off");
  const Generation whole = generate(dense, prompt());
  Session session = start(Policy::kSnapKv);
  const Generation evicted = generate(session, prompt());
  EXPECT_EQ(evicted.token_ids.front(), whole.token_ids.front());
  EXPECT_LT(evicted.memory.kv_bytes, whole.memory.kv_bytes);
  EXPECT_THAT(evicted.lazy.computed_fraction, testing::Each(1));
  EXPECT_EQ(session.tokens().size(), dense.tokens().size());
}

}  // namespace
}  // namespace lazyfill
