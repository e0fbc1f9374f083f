#include "pruning/cost_model.h"

#include <gtest/gtest.h>

namespace lazyfill {
namespace {

TEST(PrefillWork, CountsRowsAndWhatTheySee) {
  const std::vector<size_t> windows = {0, 2, 0, 0};  // the last layer counts for nothing
  const PrefillWork dense = prefill_work(4, {}, windows);
  EXPECT_EQ(dense.row_layers, 12);
  EXPECT_EQ(dense.row_columns, 10 + (1 + 2 + 2 + 2) + 10);
  const std::vector<ScheduleStage> half = {{0, 0.5, 0}};
  const PrefillWork lazy = prefill_work(4, half, windows);
  // Two of four rows leave in layer 0 with their keys and values: more than no work, far less than a layer's.
  EXPECT_GT(lazy.row_layers, 2 + 2 + 2);
  EXPECT_LT(lazy.row_layers, 2.5 + 2 + 2);
  EXPECT_EQ(lazy.row_columns, 5 + 3 + 3);
  const std::vector<ScheduleStage> one = {{1, 1, 1}};
  const double dropped_work = (lazy.row_layers - 6) / 2;  // of one row
  EXPECT_DOUBLE_EQ(prefill_work(4, one, windows).row_layers, 4 + (1 + 3 * dropped_work) + 1);
}

TEST(PrefillWork, TellsWhatSparseAttentionMayLeaveOut) {
  // Window layers, short prompts and the last rows stay dense.
  EXPECT_EQ(prefill_work(600, {}, std::vector<size_t>{0, 0}).sparse_row_columns, 0);
  EXPECT_EQ(prefill_work(4096, {}, std::vector<size_t>{512, 512, 0}).sparse_row_columns, 0);
  const std::vector<size_t> windows(5, 0);
  const PrefillWork dense = prefill_work(4096, {}, windows);
  EXPECT_GT(dense.sparse_row_columns, 0.9 * dense.row_columns);
  EXPECT_LT(dense.sparse_row_columns, dense.row_columns);
  EXPECT_EQ(dense.thinned_row_columns, 0);
  // Layers 0 and 1 are entered by all, of which half stay in layer 1; 2 and 3 by half: a quarter of the
  // pairs, and of those more are too short.
  const PrefillWork half = prefill_work(4096, std::vector<ScheduleStage>{{1, 0.5, 0}}, windows);
  EXPECT_NEAR(half.sparse_row_columns, dense.sparse_row_columns * 1.5 / 4, 1);
  EXPECT_LT(half.thinned_row_columns, dense.sparse_row_columns / 8);
  EXPECT_GT(half.thinned_row_columns, dense.sparse_row_columns / 10);
}

TEST(CostModel, FindsWhatSparseAttentionSaves) {
  CostModel truth{3, 0.02, 1e-6, {{0.95, 0.5}, {0.9, 0.6}}, 0.7};
  const std::vector<size_t> windows(30, 0);
  const PrefillWork full = prefill_work(4096, {}, windows);
  const PrefillWork pruned = prefill_work(4096, std::vector<ScheduleStage>{{7, 0.4, 0}}, windows);
  EXPECT_NEAR(truth.predict_ms(full) - truth.predict_ms(full, 0.9), 0.6 * 1e-6 * full.sparse_row_columns,
              1e-6);
  EXPECT_EQ(truth.predict_ms(full), truth.predict_ms(full, 0.8));  // not among the measured
  // All times twice as long, as on a machine that got slower meanwhile: ratios stay.
  const double share =
      fit_saved_share(truth, {full, 2 * truth.predict_ms(full)}, 2 * truth.predict_ms(full, 0.95));
  EXPECT_NEAR(share, 0.5, 1e-9);
  const double thinned =
      fit_thinned(truth, {pruned, 2 * truth.predict_ms(pruned)}, 0.9, 2 * truth.predict_ms(pruned, 0.9));
  EXPECT_NEAR(thinned, 0.7, 1e-9);
}

TEST(CostModel, SparseAttentionThatSavesNothingIsNoGain) {
  const CostModel model{3, 0.02, 1e-6, {{0.9, 0}}, 1};
  const PrefillWork full = prefill_work(4096, {}, std::vector<size_t>(30, 0));
  const PrefillWork tiny = prefill_work(100, {}, std::vector<size_t>(30, 0));
  EXPECT_EQ(fit_saved_share(model, {full, 100}, 120), 0);
  EXPECT_EQ(fit_saved_share(model, {tiny, 100}, 90), 0);  // there is nothing that it could leave out
  EXPECT_EQ(fit_thinned(model, {full, 100}, 0.9, 90), 0);
}

TEST(CostModel, FindsTheNumbersThatMadeTheTimes) {
  const CostModel truth{3, 0.02, 1e-6};
  std::vector<TimedPrefill> prefills;
  const std::vector<size_t> windows(30, 0);
  for (size_t n : {256, 1024, 2048, 4096}) {
    const PrefillWork work = prefill_work(n, {}, windows);
    prefills.push_back({work, truth.predict_ms(work)});
  }
  const auto fitted = fit_cost_model(prefills);
  ASSERT_TRUE(fitted) << fitted.error().message;
  EXPECT_NEAR(fitted->fixed_ms, truth.fixed_ms, 1e-4);
  EXPECT_NEAR(fitted->row_layer_ms, truth.row_layer_ms, 1e-8);
  EXPECT_NEAR(fitted->row_column_ms, truth.row_column_ms, 1e-11);
}

TEST(CostModel, NoPartIsNegative) {
  // Twice the rows in less than twice the time: attention would come out below zero.
  const std::vector<TimedPrefill> prefills = {{{100, 100}, 100}, {{200, 400}, 190}, {{400, 1600}, 360}};
  const auto fitted = fit_cost_model(prefills);
  ASSERT_TRUE(fitted);
  EXPECT_GE(fitted->fixed_ms, 0);
  EXPECT_GT(fitted->row_layer_ms, 0);
  EXPECT_EQ(fitted->row_column_ms, 0);
  for (const TimedPrefill& prefill : prefills)
    EXPECT_NEAR(fitted->predict_ms(prefill.work) / prefill.ms, 1, 0.05);
}

TEST(CostModel, TooFewOrTimelessMeasurementsAreRefused) {
  const std::vector<TimedPrefill> two = {{{1, 1}, 1}, {{2, 4}, 2}};
  EXPECT_FALSE(fit_cost_model(two));
  const std::vector<TimedPrefill> timeless = {{{1, 1}, 1}, {{2, 4}, 2}, {{3, 9}, 0}};
  EXPECT_FALSE(fit_cost_model(timeless));
}

}  // namespace
}  // namespace lazyfill
