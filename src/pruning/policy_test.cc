#include "pruning/policy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>
#include <string>

namespace lazyfill {
namespace {

using testing::ElementsAre;

struct ChoiceCase {
  const char* name;
  LazyOptions options;
  ScheduleStage stage;
  std::vector<int32_t> positions;
  std::vector<float> attention;
  std::vector<uint8_t> computed_next;
  bool is_first_step;
  size_t prompt_end;
  std::vector<uint32_t> expected;
};

LazyOptions with_policy(Policy policy) {
  LazyOptions options;
  options.policy = policy;
  return options;
}

LazyOptions with_protection(size_t first, size_t last, bool prune_generated = true) {
  LazyOptions options;
  options.protect_first = first;
  options.protect_last = last;
  options.prune_generated = prune_generated;
  return options;
}

LazyOptions with_pooling(Pooling pooling, size_t width) {
  LazyOptions options = with_policy(Policy::kWindow);
  options.pooling = pooling;
  options.pooling_width = width;
  return options;
}

class AttentionSeen final : public Evidence {
 public:
  AttentionSeen(std::span<const int32_t> of, std::span<const float> attention) : attention_(attention) {
    positions = of;
  }
  std::span<const float> attention() override { return attention_; }

 private:
  std::span<const float> attention_;
};

const std::vector<float> kScores = {.30F, .02F, .25F, .03F, .04F, .01F};
const std::vector<int32_t> kSix = {0, 1, 2, 3, 4, 5};
const std::vector<uint8_t> kAll = {1, 1, 1, 1, 1, 1};
constexpr ScheduleStage kHalf{0, 0.5, 0};

std::vector<ChoiceCase> choices() {
  return {
      {"TopHalfAndTheLastAlways", {}, kHalf, kSix, kScores, kAll, true, 6, {0, 2, 5}},
      {"KeepOneKeepsAll", {}, {0, 1.0, 0}, kSix, kScores, kAll, true, 6, {0, 1, 2, 3, 4, 5}},
      // Without the first token the scores are .35 in all; .25 and .04 are three quarters of that.
      {"AShareOfTheAttention", {}, {0, 1, 0, 0.75}, kSix, kScores, kAll, true, 6, {0, 2, 5}},
      {"AllOfTheAttention", {}, {0, 1, 0, 1}, kSix, kScores, kAll, true, 6, {0, 1, 2, 3, 4, 5}},
      {"ANumberOfTokens", {}, {0, 1.0, 2}, kSix, kScores, kAll, true, 6, {0, 5}},
      {"OneTokenIsTheLast", {}, {0, 1.0, 1}, kSix, kScores, kAll, true, 6, {5}},
      {"OfEqualScoresTheLaterStays",
       {},
       kHalf,
       kSix,
       {.1F, .1F, .1F, .1F, .1F, .1F},
       kAll,
       true,
       6,
       {3, 4, 5}},
      {"SinksAreProtectedByPosition", with_protection(2, 1), kHalf, kSix, kScores, kAll, true, 6, {0, 1, 5}},
      {"GapsCountAsGone",
       with_protection(2, 1),
       kHalf,
       {1, 3, 5, 7, 9, 11},
       kScores,
       kAll,
       true,
       12,
       {0, 2, 5}},
      {"NewestAreProtected", with_protection(0, 3), kHalf, kSix, kScores, kAll, true, 6, {3, 4, 5}},
      {"ProtectionOutgrowsTheBudget",
       with_protection(0, 5),
       kHalf,
       kSix,
       kScores,
       kAll,
       true,
       6,
       {1, 2, 3, 4, 5}},
      // Two generated tokens (positions 4 and 5) stay and do not count: half of the four others.
      {"GeneratedStay", with_protection(0, 1, false), kHalf, kSix, kScores, kAll, false, 4, {0, 2, 4, 5}},
      {"Recent", with_policy(Policy::kRecent), kHalf, kSix, {}, kAll, true, 6, {3, 4, 5}},
      {"StaticChoosesByAttentionFirst",
       with_policy(Policy::kStatic),
       kHalf,
       kSix,
       kScores,
       kAll,
       true,
       6,
       {0, 2, 5}},
      {"StaticRevivesNothingLater",
       with_policy(Policy::kStatic),
       kHalf,
       kSix,
       {},
       {1, 0, 1, 0, 0, 1},
       false,
       4,
       {0, 2, 5}},
      {"WindowPoolsNeighbours",
       with_pooling(Pooling::kAverage, 3),
       kHalf,
       kSix,
       {.0F, .0F, .6F, .0F, .3F, .0F},
       kAll,
       true,
       6,
       {2, 3, 5}},
      {"FocusPoolsNeighbours",
       with_policy(Policy::kFocus),
       {0, 1.0, 4},
       {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11},
       {.0F, .0F, .0F, .9F, .0F, .0F, .0F, .0F, .0F, .0F, .0F, .0F},
       {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1},
       true,
       12,
       {0, 1, 2, 11}},
      {"FastKvPoolsAtFirst",
       with_policy(Policy::kFastKv),
       {0, 1.0, 4},
       {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11},
       {.0F, .0F, .0F, .9F, .0F, .0F, .0F, .0F, .0F, .0F, .0F, .0F},
       {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1},
       true,
       12,
       {0, 1, 2, 11}},
      {"FastKvRevivesNothingLater",
       with_policy(Policy::kFastKv),
       kHalf,
       kSix,
       {},
       {0, 1, 0, 1, 0, 1},
       false,
       4,
       {1, 3, 5}},
      {"GemFilterPools",
       with_policy(Policy::kGemFilter),
       {0, 1.0, 4},
       {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11},
       {.0F, .0F, .0F, .9F, .0F, .0F, .0F, .0F, .0F, .0F, .0F, .0F},
       {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1},
       true,
       12,
       {0, 1, 2, 11}},
      {"SnapKvPools",
       with_policy(Policy::kSnapKv),
       kHalf,
       kSix,
       {.9F, .0F, .0F, .0F, .0F, .0F},
       kAll,
       true,
       6,
       {0, 1, 5}},
      {"WindowPoolsMaximum",
       with_pooling(Pooling::kMax, 3),
       {0, 1.0, 4},
       kSix,
       {.0F, .0F, .6F, .0F, .1F, .0F},
       kAll,
       true,
       6,
       {1, 2, 3, 5}},
  };
}

class ValuesSeen final : public Evidence {
 public:
  ValuesSeen(size_t of_heads, size_t of_kv_heads, std::vector<float> by_head, std::vector<float> norms)
      : by_head_(std::move(by_head)), norms_(std::move(norms)) {
    n_heads = of_heads;
    n_kv_heads = of_kv_heads;
    positions = std::span(kSix).first(norms_.size() / of_kv_heads);
  }
  std::span<const float> attention_by_head() override { return by_head_; }
  std::span<const float> value_norms() override { return norms_; }

 private:
  std::vector<float> by_head_;  // [n_heads, n]
  std::vector<float> norms_;    // [n_kv_heads, n]
};

TEST(ValuesPolicy, WeighsEachHeadsAttentionByTheValueThatItTakes) {
  const auto scores = [](ValuesSeen seen) { return policy_info(Policy::kValues).score({}, seen); };
  // Four query heads, two of them a kv head. All look alike; the second token's values are long for the last
  // two, the first one's for the first.
  EXPECT_THAT(scores({4, 2, {.5F, .5F, .5F, .5F, .5F, .5F, .5F, .5F}, {4, 0, 0, 8}}), ElementsAre(1, 2));
  // A long value that its own heads do not look at counts for nothing: by the means it would.
  EXPECT_THAT(scores({2, 2, {1, 0, 0, 1}, {1, 100, 100, 1}}), ElementsAre(.5F, .5F));
  EXPECT_THAT(scores({1, 1, {1}, {3}}), ElementsAre(3));
  // Sinks, much looked at, have short values: what is kept is not what kLazy keeps. Of equal ones the later.
  ValuesSeen sink(1, 1, {.7F, .1F, .1F, .05F, .05F, .0F}, {.1F, 2, 2, 1, 3, 9});
  const LazyOptions options = with_policy(Policy::kValues);
  const std::vector<float> votes = policy_info(options).score(options, sink);
  EXPECT_THAT(choose_kept(options, kHalf, {kSix, votes, kAll}, 6), ElementsAre(1, 2, 5));
  EXPECT_THAT(choose_kept(options, {0, 1, 2}, {kSix, votes, kAll}, 6), ElementsAre(2, 5));
}

class Choice : public testing::TestWithParam<ChoiceCase> {};

TEST_P(Choice, KeepsTheExpected) {
  const ChoiceCase& c = GetParam();
  AttentionSeen seen(c.positions, c.attention);
  const std::vector<float> votes = policy_info(c.options).score(c.options, seen);
  const Candidates candidates{c.positions, votes, c.computed_next, c.is_first_step};
  EXPECT_EQ(choose_kept(c.options, c.stage, candidates, c.prompt_end), c.expected);
}

INSTANTIATE_TEST_SUITE_P(Table, Choice, testing::ValuesIn(choices()),
                         [](const auto& param_info) { return std::string(param_info.param.name); });

TEST(MaxRevived, KeepsOnlyTheBestOfWhatIsMissingAndFillsUp) {
  const std::vector<float> scores = {.20F, .01F, .25F, .03F, .30F, .02F};
  const std::vector<uint8_t> computed = {0, 1, 0, 1, 0, 1};  // 0, 2 and 4 would have to be computed
  const auto choose = [&](const LazyOptions& options, std::optional<size_t> max_revived) {
    return choose_kept(options, {0, 1.0, 4}, {kSix, scores, computed, false, max_revived}, 6);
  };
  EXPECT_THAT(choose({}, std::nullopt), ElementsAre(0, 2, 4, 5));
  EXPECT_THAT(choose({}, 3), ElementsAre(0, 2, 4, 5));
  EXPECT_THAT(choose({}, 2), ElementsAre(2, 3, 4, 5));
  EXPECT_THAT(choose({}, 1), ElementsAre(1, 3, 4, 5));
  EXPECT_THAT(choose({}, 0), ElementsAre(1, 3, 5));  // there are no more
  // What is protected comes back in any case, and does not count.
  EXPECT_THAT(choose(with_protection(1, 1), 1), ElementsAre(0, 3, 4, 5));
}

TEST(ReviveMargin, LetsComeBackWhatIsMuchBetterThanTheWeakest) {
  const std::vector<float> scores = {.20F, .05F, .25F, .08F, .30F, .02F};
  const std::vector<uint8_t> computed = {0, 1, 0, 1, 0, 1};  // 0, 2 and 4 would have to be computed
  const auto choose = [&](float margin, size_t n_keep = 4, std::optional<size_t> max_revived = {}) {
    return choose_kept({}, {0, 1.0, n_keep}, {kSix, scores, computed, false, max_revived, margin}, 6);
  };
  // The weakest of the four best has .08.
  EXPECT_THAT(choose(0), ElementsAre(0, 2, 4, 5));
  EXPECT_THAT(choose(2.4F), ElementsAre(0, 2, 4, 5));
  EXPECT_THAT(choose(2.6F), ElementsAre(2, 3, 4, 5));
  EXPECT_THAT(choose(3.2F), ElementsAre(1, 3, 4, 5));
  EXPECT_THAT(choose(4), ElementsAre(1, 3, 5));
  EXPECT_THAT(choose(2.4F, 4, 1), ElementsAre(1, 3, 4, 5));    // both limits
  EXPECT_THAT(choose(100, 6), ElementsAre(0, 1, 2, 3, 4, 5));  // with room for all nobody is in the way
}

TEST(RandomPolicy, IsSeededAndTheSameInEveryStep) {
  std::vector<int32_t> positions(100);
  std::iota(positions.begin(), positions.end(), 0);
  const std::vector<uint8_t> computed(100, 1);
  const auto choose = [&](uint64_t seed, bool is_first_step) {
    LazyOptions options = with_policy(Policy::kRandom);
    options.seed = seed;
    AttentionSeen seen(positions, {});
    const std::vector<float> votes = policy_info(options).score(options, seen);
    return choose_kept(options, kHalf, {positions, votes, computed, is_first_step}, 100);
  };
  EXPECT_EQ(choose(1, true), choose(1, false));
  EXPECT_NE(choose(1, true), choose(2, true));
  EXPECT_EQ(choose(1, true).size(), 50U);
}

TEST(ChooseVoters, LeavesOutTheWordsOfTheTemplate) {
  LazyOptions options = with_policy(Policy::kFocus);
  options.window_rows = 3;
  const auto voters = [&](std::vector<uint8_t> is_control) { return choose_voters(options, is_control); };
  EXPECT_THAT(voters({}), ElementsAre());
  EXPECT_THAT(voters({0}), ElementsAre(0));
  EXPECT_THAT(voters({1}), ElementsAre(0));
  EXPECT_THAT(voters({0, 0}), ElementsAre(0, 1));
  EXPECT_THAT(voters({0, 0, 0, 0, 0, 0}), ElementsAre(2, 3, 4, 5));
  EXPECT_THAT(voters({0, 0, 0, 0, 0, 1}), ElementsAre(2, 3, 4, 5));
  EXPECT_THAT(voters({0, 0, 0, 0, 1, 0, 1, 0}), ElementsAre(1, 2, 3, 7));
  EXPECT_THAT(voters({1, 0, 1, 0}), ElementsAre(3));
  // A control token far from the end is no template: here BOS, or the end of an earlier turn.
  std::vector<uint8_t> long_prompt(20, 0);
  long_prompt[3] = 1;
  EXPECT_THAT(voters(long_prompt), ElementsAre(16, 17, 18, 19));
}

TEST(CountForMass, LeavesTheFirstTokenOut) {
  struct Case {
    std::vector<float> scores;
    double mass;
    size_t expected;
  };
  const Case cases[] = {
      {{}, 0.5, 0},
      {{1}, 0.5, 1},
      {{0.9F, 0.1F}, 0.5, 2},
      {{8, 1, 2, 4, 1}, 0.5, 2},   // 4 of 8
      {{8, 1, 2, 4, 1}, 0.51, 3},  // 4 + 2
      {{8, 1, 2, 4, 1}, 0.75, 3},
      {{8, 1, 2, 4, 1}, 0.875, 4},
      {{8, 1, 2, 4, 1}, 1, 5},
      {{1, 0, 0, 0}, 0.9, 1},  // nobody looks at the others
  };
  for (const Case& c : cases) EXPECT_EQ(count_for_mass(c.scores, c.mass), c.expected) << c.mass;
}

TEST(Pooled, ShrinksAtTheEndsAndNoneIsIdentity) {
  const std::vector<float> scores = {3, 0, 6, 0, 9};
  EXPECT_THAT(pooled(scores, Pooling::kNone, 3), ElementsAre(3, 0, 6, 0, 9));
  EXPECT_THAT(pooled(scores, Pooling::kAverage, 3), ElementsAre(1.5F, 3, 2, 5, 4.5F));
  EXPECT_THAT(pooled(scores, Pooling::kMax, 5), ElementsAre(6, 6, 9, 9, 9));
}

}  // namespace
}  // namespace lazyfill
