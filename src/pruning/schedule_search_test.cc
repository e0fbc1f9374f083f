#include "pruning/schedule_search.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace lazyfill {
namespace {

SearchTask task_of(size_t n_layers) {
  SearchTask task;
  task.layers.resize(n_layers - 1);
  std::iota(task.layers.begin(), task.layers.end(), 0U);
  task.layer_windows.assign(n_layers, 0);
  task.n_tokens = 2000;
  task.cost = {5, 0.02, 1e-6};
  task.policies = {Policy::kFocus, Policy::kLazy};
  return task;
}

double predicted(const SearchTask& task, const std::vector<ScheduleStage>& stages, double mass = 1) {
  return task.cost.predict_ms(prefill_work(task.n_tokens, stages, task.layer_windows), mass);
}

// A long prompt, where attention takes most of the time and sparse attention saves much of it.
SearchTask long_task_of(size_t n_layers) {
  SearchTask task = task_of(n_layers);
  task.n_tokens = 8000;
  task.cost = {5, 0.02, 5e-6, {{0.95, 0.5}, {0.9, 0.6}, {0.8, 0.7}}, 0.8};
  task.attention_masses = {0.95, 0.9, 0.8};
  return task;
}

// A made-up loss: every stage costs more the earlier it lies and the more it drops, and kLazy twice as much.
double made_up_loss(const ScheduleCandidate& candidate, size_t n_layers) {
  double loss = 0;
  double share = 1;
  for (const ScheduleStage& stage : candidate.stages) {
    const double depth = static_cast<double>(stage.layer + 1) / static_cast<double>(n_layers);
    const double next = share * stage.keep;
    loss += (1 / next - 1 / share) * std::pow(1 - depth, 2) * 0.05;
    share = next;
  }
  return candidate.policy == Policy::kLazy ? 2 * loss : loss;
}

TEST(ScaledTo, ReachesTheTimeAndKeepsTheShape) {
  const SearchTask task = task_of(30);
  const ScheduleCandidate shape{{{9, 0.5, 0}, {20, 0.7, 0}}, Policy::kLazy, 0};
  const double dense_ms = predicted(task, {});
  for (double speed_up : {1.2, 1.5, 2.0, 2.5}) {
    const auto scaled = scaled_to(task, shape, dense_ms / speed_up);
    ASSERT_TRUE(scaled);
    ASSERT_EQ(scaled->stages.size(), 2U);
    EXPECT_EQ(scaled->stages[0].layer, 9U);
    EXPECT_LE(scaled->stages[0].keep, scaled->stages[1].keep);
    EXPECT_LE(scaled->predicted_ms, dense_ms / speed_up);
    EXPECT_GT(scaled->predicted_ms, dense_ms / speed_up * 0.96);
    EXPECT_EQ(scaled->predicted_ms, predicted(task, scaled->stages));
  }
  EXPECT_FALSE(scaled_to(task, shape, dense_ms / 10));  // 10 layers stay whole
}

TEST(ScaledTo, SparserAttentionMakesTheScheduleSofter) {
  const SearchTask task = long_task_of(30);
  const double target_ms = predicted(task, {}) / 2.2;
  const ScheduleCandidate shape{{{9, 0.5, 0}, {20, 0.7, 0}}, Policy::kLazy, 0, 1};
  ScheduleCandidate sparse = shape;
  sparse.attention_mass = 0.95;
  const auto hard = scaled_to(task, shape, target_ms);
  const auto soft = scaled_to(task, sparse, target_ms);
  ASSERT_TRUE(hard && soft);
  EXPECT_GT(soft->stages[0].keep, hard->stages[0].keep);
  EXPECT_GT(soft->predicted_ms, target_ms * 0.96);
  EXPECT_EQ(soft->predicted_ms, predicted(task, soft->stages, 0.95));
}

TEST(ScaledTo, WithoutStagesACandidateIsFastEnoughOrNot) {
  const SearchTask task = long_task_of(30);
  const double sparse_ms = predicted(task, {}, 0.95);
  const ScheduleCandidate alone{{}, Policy::kLazy, 0, 0.95};
  EXPECT_FALSE(scaled_to(task, alone, sparse_ms * 0.99));
  const auto found = scaled_to(task, alone, sparse_ms * 1.01);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->predicted_ms, sparse_ms);
}

TEST(SearchSchedule, ComesNearTheBestOfAllPairs) {
  const size_t n_layers = 12;
  const SearchTask task = task_of(n_layers);
  const double target = 0.1;
  size_t n_asked = 0;
  const auto result = search_schedule(task, [&](const ScheduleCandidate& candidate) -> Result<bool> {
    ++n_asked;
    EXPECT_EQ(candidate.predicted_ms, predicted(task, candidate.stages));
    return made_up_loss(candidate, n_layers) <= target;
  });
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_EQ(result->n_measurements, n_asked);
  EXPECT_LE(n_asked, task.max_measurements);
  EXPECT_LE(made_up_loss(result->best, n_layers), target);
  EXPECT_EQ(result->best.policy, Policy::kFocus);

  double best_ms = result->dense_ms;
  for (size_t a = 0; a < n_layers - 1; ++a) {
    for (size_t b = a + 1; b < n_layers - 1; ++b) {
      for (int i = 1; i <= 20; ++i) {
        for (int j = 1; j <= 20; ++j) {
          const ScheduleCandidate pair{{{a, i * 0.05, 0}, {b, j * 0.05, 0}}, Policy::kFocus, 0};
          if (made_up_loss(pair, n_layers) <= target)
            best_ms = std::min(best_ms, predicted(task, pair.stages));
        }
      }
    }
  }
  EXPECT_LE(result->best.predicted_ms, 1.05 * best_ms);
}

TEST(SearchSchedule, FindsTwoEarlyStagesPastWorseOnes) {
  // Beyond 1.8 times only these two hold, however they are reached: no single change of three stages that
  // hold leads there.
  const SearchTask task = task_of(30);
  const double dense_ms = predicted(task, {});
  const auto result = search_schedule(task, [&](const ScheduleCandidate& candidate) -> Result<bool> {
    const auto& stages = candidate.stages;
    const bool early = stages.size() == 2 && stages[0].layer == 8 && stages[1].layer == 14;
    return candidate.policy == Policy::kFocus && candidate.predicted_ms > dense_ms / (early ? 2.6 : 1.8);
  });
  ASSERT_TRUE(result);
  ASSERT_EQ(result->best.stages.size(), 2U);
  EXPECT_EQ(result->best.stages[0].layer, 8U);
  EXPECT_EQ(result->best.stages[1].layer, 14U);
  EXPECT_LT(result->best.predicted_ms, dense_ms / 2.4);
}

TEST(SearchSchedule, TakesThePolicyThatLosesLess) {
  SearchTask task = task_of(12);
  task.policies = {Policy::kLazy, Policy::kFocus};
  const auto result = search_schedule(task, [&](const ScheduleCandidate& candidate) -> Result<bool> {
    return made_up_loss(candidate, 12) <= 0.1;
  });
  ASSERT_TRUE(result);
  EXPECT_EQ(result->best.policy, Policy::kFocus);
}

TEST(SearchSchedule, StaysDenseWhenNothingHolds) {
  const auto result =
      search_schedule(task_of(30), [](const ScheduleCandidate&) -> Result<bool> { return false; });
  ASSERT_TRUE(result);
  EXPECT_TRUE(result->best.stages.empty());
  EXPECT_EQ(result->best.attention_mass, 1);
  EXPECT_GT(result->n_measurements, 0U);
}

TEST(SearchSchedule, TakesSparseAttentionWhereItLosesLessThanPruning) {
  const size_t n_layers = 12;
  const SearchTask task = long_task_of(n_layers);
  const auto speed_up_with = [&](double loss_of_mass) {
    const auto result = search_schedule(task, [&](const ScheduleCandidate& candidate) -> Result<bool> {
      EXPECT_EQ(candidate.predicted_ms, predicted(task, candidate.stages, candidate.attention_mass));
      return made_up_loss(candidate, n_layers) + loss_of_mass * (1 - candidate.attention_mass) <= 0.02;
    });
    EXPECT_TRUE(result);
    EXPECT_EQ(result->best.attention_mass < 1, loss_of_mass < 1) << loss_of_mass;
    return result->dense_ms / result->best.predicted_ms;
  };
  const double dense = speed_up_with(100);  // any sparse attention is out of question
  EXPECT_GT(speed_up_with(0.02), 1.2 * dense);
}

TEST(SearchSchedule, FindsTheMassThatPaysMost) {
  // Down to 0.9 it is free, and beyond it nothing holds.
  const SearchTask task = long_task_of(12);
  const auto result = search_schedule(task, [](const ScheduleCandidate& candidate) -> Result<bool> {
    return made_up_loss(candidate, 12) <= 0.1 && candidate.attention_mass >= 0.9;
  });
  ASSERT_TRUE(result);
  EXPECT_EQ(result->best.attention_mass, 0.9);
  EXPECT_FALSE(result->best.stages.empty());
}

TEST(SearchSchedule, SparseAttentionAloneWhereNoPruningHolds) {
  const SearchTask task = long_task_of(12);
  const auto result = search_schedule(task, [](const ScheduleCandidate& candidate) -> Result<bool> {
    return candidate.stages.empty() && candidate.attention_mass >= 0.9;
  });
  ASSERT_TRUE(result);
  EXPECT_TRUE(result->best.stages.empty());
  EXPECT_EQ(result->best.attention_mass, 0.9);
  EXPECT_EQ(result->best.predicted_ms, predicted(task, {}, 0.9));
}

TEST(SearchSchedule, AQuickOneComesNearWhatEarlyStagesBear) {
  for (const double bearable : {1.25, 1.7, 2.1, 2.6, 2.9}) {
    SearchTask task = task_of(30);
    task.quick = true;
    task.max_measurements = 12;
    const double fastest_ms = predicted(task, {}) / bearable;
    const auto result = search_schedule(task, [&](const ScheduleCandidate& candidate) -> Result<bool> {
      const auto& stages = candidate.stages;
      const bool early = stages.size() == 2 && stages[0].layer == 8 && stages[1].layer == 14;
      return early && candidate.policy == Policy::kFocus && candidate.predicted_ms >= fastest_ms;
    });
    ASSERT_TRUE(result);
    EXPECT_GE(result->best.predicted_ms, fastest_ms);
    EXPECT_LT(result->best.predicted_ms, fastest_ms / 0.9) << bearable;
  }
}

TEST(SearchSchedule, AQuickOneFallsBackToWhatIsSofter) {
  // Nothing early holds, and no two stages do.
  SearchTask task = task_of(30);
  task.quick = true;
  const auto result = search_schedule(task, [](const ScheduleCandidate& candidate) -> Result<bool> {
    return candidate.stages.size() == 1 && candidate.stages[0].layer >= 15;
  });
  ASSERT_TRUE(result);
  ASSERT_EQ(result->best.stages.size(), 1U);
  EXPECT_LT(result->best.predicted_ms, result->dense_ms / 1.3);
}

TEST(SearchSchedule, EndsAtItsBudgetWithWhatItHas) {
  SearchTask task = task_of(30);
  task.max_measurements = 3;
  const auto result = search_schedule(task, [](const ScheduleCandidate&) -> Result<bool> { return true; });
  ASSERT_TRUE(result);
  EXPECT_EQ(result->n_measurements, 3U);
  EXPECT_LE(result->best.predicted_ms, result->dense_ms / 2);
}

TEST(SearchSchedule, StopsWhenToldAndPassesErrorsOn) {
  size_t n = 0;
  const auto stopped = search_schedule(task_of(30), [&](const ScheduleCandidate&) -> Result<bool> {
    if (++n > 1) return fail(ErrorCode::kCancelled, "time is up");
    return true;
  });
  ASSERT_TRUE(stopped);
  EXPECT_FALSE(stopped->best.stages.empty());
  const auto failed = search_schedule(task_of(30), [](const ScheduleCandidate&) -> Result<bool> {
    return fail(ErrorCode::kOutOfMemory, "no memory");
  });
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code, ErrorCode::kOutOfMemory);
}

TEST(SearchSchedule, AModelWithTwoPrunableLayersIsSearchedToo) {
  SearchTask task = task_of(18);
  task.layers = {5, 11};
  const auto result = search_schedule(task, [](const ScheduleCandidate& candidate) -> Result<bool> {
    return made_up_loss(candidate, 18) <= 0.1;
  });
  ASSERT_TRUE(result);
  EXPECT_FALSE(result->best.stages.empty());
  EXPECT_LT(result->best.predicted_ms, 0.8 * result->dense_ms);
}

TEST(FormatSchedule, IsWhatTheFlagTakes) {
  const std::vector<ScheduleStage> stages = {{9, 0.5, 0}, {15, 0.31, 0}, {20, 1, 512}};
  EXPECT_EQ(format_schedule(stages), "9:0.5,15:0.31,20:@512");
  EXPECT_EQ(format_schedule(std::vector<ScheduleStage>{{9, 1, 0, 0.95}}), "9:p0.95");
  EXPECT_EQ(format_schedule({}), "off");
}

}  // namespace
}  // namespace lazyfill
