#include "pruning/selection.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

namespace lazyfill {
namespace {

using testing::ElementsAre;

constexpr DecodeBytes kBytes{10, 1000, 100, 1};
const std::vector<ScheduleStage> kStages = {{4, 0.5}, {8, 0.5}};
const std::vector<int32_t> kSix = {0, 1, 2, 3, 4, 5};
const std::vector<uint8_t> kAll(6, 1);

class Seen final : public Evidence {
 public:
  explicit Seen(std::vector<float> attention) : attention_(std::move(attention)) { positions = kSix; }
  std::span<const float> attention() override { return attention_; }

 private:
  std::vector<float> attention_;
};

LazyOptions with_policy(Policy policy, Revival revival = Revival::all()) {
  LazyOptions options;
  options.policy = policy;
  options.pooling = Pooling::kNone;
  options.revival = revival;
  return options;
}

std::vector<size_t> layers_that_vote(const Selection& selection, bool sees_all = true) {
  std::vector<size_t> found;
  for (size_t layer = 0; layer <= selection.next_stage()->layer; ++layer) {
    if (selection.votes_at(layer, sees_all)) found.push_back(layer);
  }
  return found;
}

// One choice with these votes, at the stage that is next.
std::vector<uint32_t> choose(Selection& selection, const std::vector<float>& votes,
                             std::span<const uint8_t> computed, double saved = 0, size_t n_rows = 0) {
  RevivalBudget budget(kBytes, saved);
  VoteMemory memory{TokenRing(64)};
  Seen seen(votes);
  if (selection.votes_at(selection.next_stage()->layer, true)) selection.vote(seen);
  return selection.choose({kSix, computed, &memory, &budget, n_rows});
}

TEST(Selection, TheStagesLayerVotesAndWithWordsThoseBeforeItToo) {
  const LazyOptions lazy = with_policy(Policy::kLazy);
  const LazyOptions focus = with_policy(Policy::kFocus);
  Selection at_stage(lazy, kStages, 0, 6);
  EXPECT_THAT(layers_that_vote(at_stage), ElementsAre(4));
  EXPECT_THAT(layers_that_vote(at_stage, false),
              ElementsAre(4));  // a stage's layer sees all, whatever is said
  Selection over_layers(focus, kStages, 0, 6);
  EXPECT_THAT(layers_that_vote(over_layers), ElementsAre(2, 3, 4));
  EXPECT_THAT(layers_that_vote(over_layers, false), ElementsAre());
  choose(over_layers, {1, 2, 3, 4, 5, 6}, kAll);
  EXPECT_EQ(over_layers.next_stage(), &kStages[1]);
  EXPECT_THAT(layers_that_vote(over_layers), ElementsAre(6, 7, 8));
  choose(over_layers, {1, 2, 3, 4, 5, 6}, kAll);
  EXPECT_EQ(over_layers.next_stage(), nullptr);
  EXPECT_FALSE(over_layers.votes_at(8, true));
}

TEST(Selection, WhoChoosesOnceVotesInTheFirstStepAlone) {
  const LazyOptions options = with_policy(Policy::kStatic);
  EXPECT_TRUE(Selection(options, kStages, 0, 6).votes_at(4, true));
  Selection later(options, kStages, 5, 5);
  EXPECT_FALSE(later.votes_at(4, true));
  const std::vector<uint8_t> computed = {0, 1, 0, 0, 1, 1};
  EXPECT_THAT(choose(later, {9, 0, 9, 9, 0, 0}, computed), ElementsAre(1, 4, 5));
}

TEST(Selection, VotersAreNewRows) {
  LazyOptions options = with_policy(Policy::kLazy);
  const std::vector<int32_t> rows = {2, 5, 10, 11, 12};  // 2 and 5 came back
  const auto voters = [&](std::vector<int32_t> words = {}) {
    return Selection(options, kStages, 10, 13).voters(rows, words);
  };
  EXPECT_THAT(voters(), ElementsAre(4));
  EXPECT_THAT(voters({10, 11}), ElementsAre(4));  // words are not asked
  options.policy = Policy::kWindow;
  options.window_rows = 2;
  EXPECT_THAT(voters(), ElementsAre(3, 4));
  options.window_rows = 100;
  EXPECT_THAT(voters(), ElementsAre(2, 3, 4));
  options.policy = Policy::kFocus;
  EXPECT_THAT(voters({10, 12}), ElementsAre(2, 4));
  EXPECT_THAT(voters({9, 12}), ElementsAre(4));  // 9 was dropped
  EXPECT_THAT(voters({8, 9}), ElementsAre(4));   // all were: the last row
  EXPECT_THAT(voters(), ElementsAre(4));
}

TEST(Selection, VotesOfSeveralLayersAddUp) {
  const LazyOptions options = with_policy(Policy::kFocus);
  Selection selection(options, kStages, 0, 6);
  Seen below({.0F, .3F, .2F, .0F, .0F, .0F});
  selection.vote(below);
  EXPECT_THAT(choose(selection, {.4F, .0F, .3F, .0F, .0F, .0F}, kAll), ElementsAre(0, 2, 5));
  // What one stage counted is not counted again.
  EXPECT_THAT(choose(selection, {.0F, .0F, .0F, .1F, .2F, .0F}, kAll), ElementsAre(3, 4, 5));
}

TEST(Selection, EarlierStepsVotesCountInAnAnswerAndNotForAQuestion) {
  const LazyOptions options = with_policy(Policy::kFocus);
  VoteMemory memory{TokenRing(64)};
  const auto kept = [&](int32_t first_new, size_t prompt_end, const std::vector<float>& votes) {
    RevivalBudget budget(kBytes, 0);
    Selection selection(options, kStages, first_new, prompt_end);
    Seen seen(votes);
    selection.vote(seen);
    const auto indices = selection.choose({kSix, kAll, &memory, &budget, 0});
    memory.commit();
    return indices;
  };
  EXPECT_THAT(kept(0, 5, {.9F, .8F, .0F, .0F, .0F, .0F}), ElementsAre(0, 1, 5));
  EXPECT_THAT(kept(5, 5, {.0F, .0F, .1F, .1F, .0F, .0F}), ElementsAre(0, 1, 5));
  EXPECT_THAT(kept(5, 6, {.0F, .0F, .1F, .1F, .0F, .0F}), ElementsAre(2, 3, 5));
}

TEST(Selection, LimitsWhatComesBackInAnAnswer) {
  const std::vector<float> votes = {.9F, .8F, .7F, .1F, .2F, .0F};
  const std::vector<uint8_t> computed = {0, 0, 0, 1, 1, 1};
  const std::vector<ScheduleStage> stages = {{4, 1, 4}};
  const auto kept = [&](Revival revival, int32_t first_new, double saved = 0, size_t n_rows = 0) {
    const LazyOptions options = with_policy(Policy::kLazy, revival);
    Selection selection(options, stages, first_new, 5);
    return choose(selection, votes, computed, saved, n_rows);
  };
  const auto three = ElementsAre(0, 1, 2, 5);
  EXPECT_THAT(kept(Revival::all(), 5), three);
  EXPECT_THAT(kept(Revival(), 5), three);
  EXPECT_THAT(kept(Revival::up_to(2), 5), ElementsAre(0, 1, 4, 5));
  EXPECT_THAT(kept(Revival::up_to(0), 5), ElementsAre(3, 4, 5));
  EXPECT_THAT(kept(Revival::up_to(0), 4), three);  // a question is not limited
  // A row takes 6 layers of 20 + 0.4 * 4 columns; a choice is paid for by later steps.
  EXPECT_THAT(kept(Revival::automatic(), 5, 0), ElementsAre(3, 4, 5));
  EXPECT_THAT(kept(Revival::automatic(), 5, 130), ElementsAre(0, 3, 4, 5));
  EXPECT_THAT(kept(Revival::automatic(), 5, 260), ElementsAre(0, 1, 4, 5));
  EXPECT_THAT(kept(Revival::automatic(), 5, 260, 1), ElementsAre(0, 3, 4, 5));
  EXPECT_THAT(kept(Revival::automatic(), 5, 1e9), three);
}

TEST(Selection, TheMarginIsForThoseWhoLookAtAttention) {
  const std::vector<uint8_t> computed = {1, 1, 1, 1, 0, 1};
  LazyOptions options = with_policy(Policy::kLazy);
  options.revive_margin = 1000;
  Selection lazy(options, kStages, 5, 5);
  EXPECT_THAT(choose(lazy, {.1F, .2F, .0F, .0F, .9F, .0F}, computed), ElementsAre(0, 1, 5));
  options.policy = Policy::kRecent;
  Selection recent(options, kStages, 5, 5);
  EXPECT_THAT(choose(recent, {}, computed), ElementsAre(3, 4, 5));
}

TEST(Selection, WhatIsNoNumberIsNoVote) {
  const LazyOptions options = with_policy(Policy::kLazy);
  Selection selection(options, kStages, 0, 6);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(choose(selection, {nan, .1F, nan, .2F, nan, .0F}, kAll), ElementsAre(1, 3, 5));
}

TEST(Selection, ALayerChoosesItsColumns) {
  LazyOptions options = with_policy(Policy::kSnapKv);
  const Selection selection(options, {}, 0, 6);
  Seen seen({.1F, .0F, .9F, .0F, .3F, .2F});
  EXPECT_THAT(selection.choose_columns({0, 0.5}, seen), ElementsAre(2, 4, 5));
  options.pooling = Pooling::kMax;
  options.pooling_width = 3;
  EXPECT_THAT(selection.choose_columns({0, 0.5}, seen), ElementsAre(2, 3, 5));
}

}  // namespace
}  // namespace lazyfill
