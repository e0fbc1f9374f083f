#include "model/blocks.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

#include "kernels/sparse_attention.h"

namespace lazyfill {
namespace {

// The rows of a step without their data: bodies of so many rows, and a top row for each.
struct TestRows {
  Rows rows;
  std::vector<View> views;

  void add_view(size_t n_rows, float attention_mass, bool is_top, size_t n_unwanted = 0) {
    View view;
    view.row_begin = rows.n_rows;
    view.row_end = rows.n_rows + n_rows;
    view.first_output = view.row_begin + n_unwanted;
    view.form = is_top ? RowForm::kAlone : form_of_rows(n_rows);
    view.attention_mass = attention_mass;
    views.push_back(view);
    rows.n_rows += n_rows;
    if (!is_top) rows.n_body += n_rows;
    rows.views = views;
  }
};

TestRows rows_of(const std::vector<size_t>& bodies, float attention_mass) {
  TestRows all;
  for (size_t n : bodies) all.add_view(n, attention_mass, false);
  for (size_t i = 0; i < bodies.size(); ++i) all.add_view(1, 1, true);
  return all;
}

void expect_whole_views(const Block& block, const std::vector<View>& views) {
  for (const View& view : views) {
    for (size_t cut : {block.begin, block.end}) {
      if (cut <= std::max(view.row_begin, view.first_output) || cut >= view.row_end) continue;
      EXPECT_EQ(view.form, RowForm::kMany) << "a view of few rows is cut at " << cut;
      if (view.attention_mass < 1) {
        EXPECT_EQ((cut - view.row_begin) % kSparseRows, 0U) << "cut at " << cut;
      }
    }
  }
}

void expect_each_row_once(const TestRows& all, bool outputs_only, size_t max_rows, size_t n_threads) {
  const BlockPlan plan = plan_blocks(all.rows, outputs_only, max_rows, n_threads);
  std::vector<int> times(all.rows.n_rows);
  for (const Block& block : plan.blocks) {
    ASSERT_LT(block.begin, block.end);
    ASSERT_LE(block.end, all.rows.n_rows);
    EXPECT_LT(block.n_rows(), 2 * max_rows);
    for (size_t row = block.begin; row < block.end; ++row) ++times[row];
    const size_t n_body = all.rows.n_body;
    EXPECT_EQ(block.n_plain, block.begin >= n_body ? 0 : std::min(block.end, n_body) - block.begin);
    if (outputs_only) expect_whole_views(block, all.views);
  }
  for (const View& view : all.views) {
    for (size_t row = view.row_begin; row < view.row_end; ++row)
      ASSERT_EQ(times[row], outputs_only && row < view.first_output ? 0 : 1) << "row " << row;
  }
}

void expect_good_plans(const TestRows& all) {
  for (size_t max_rows : {96, 384}) {
    for (size_t n_threads : {1, 2, 7}) {
      for (bool outputs_only : {false, true}) {
        SCOPED_TRACE(std::to_string(max_rows) + " rows, " + std::to_string(n_threads) + " threads");
        expect_each_row_once(all, outputs_only, max_rows, n_threads);
      }
    }
  }
}

TEST(PlanBlocks, EveryRowIsInOneBlock) {
  const std::vector<size_t> cases[] = {
      {0},
      {1},
      {95},
      {96},
      {97},
      {699},
      {9, 742},
      {742, 9},
      {16, 16, 16, 16, 16, 16, 16, 16},
      {300, 1, 2, 3, 300, 40, 17, 500},
      std::vector<size_t>(64, 53),
      std::vector<size_t>(200, 0),
  };
  for (const std::vector<size_t>& bodies : cases) {
    for (float mass : {1.0F, 0.9F}) {
      SCOPED_TRACE(std::to_string(bodies.size()) + " sequences, the first with " + std::to_string(bodies[0]));
      TestRows all;
      for (size_t n : bodies) {
        if (n > 0) all.add_view(n, mass, false);
      }
      for (size_t i = 0; i < bodies.size(); ++i) all.add_view(1, 1, true);
      expect_good_plans(all);
    }
  }
}

TEST(PlanBlocks, EveryRowIsInOneBlockOfRandomSteps) {
  std::mt19937 random(1);
  for (int round = 0; round < 300; ++round) {
    SCOPED_TRACE("round " + std::to_string(round));
    TestRows all;
    const size_t n_sequences = 1 + random() % 12;
    for (size_t i = 0; i < n_sequences; ++i) {
      const size_t n = 1 + random() % (random() % 3 == 0 ? 900 : 30);
      all.add_view(n, random() % 2 == 0 ? 0.8F : 1.0F, false, random() % 4 == 0 ? n : 0);
    }
    for (size_t i = 0; i < n_sequences; ++i) all.add_view(1 + random() % 5, 1, true);
    expect_good_plans(all);
  }
}

// Of the last layer only the newest rows' outputs are wanted, of all sequences in one block.
TEST(PlanBlocks, UnwantedOutputsAreNotComputed) {
  TestRows all;
  for (size_t n : {500, 30, 200}) all.add_view(n, 1, false, n);
  for (int i = 0; i < 3; ++i) all.add_view(1, 1, true);
  const BlockPlan plan = plan_blocks(all.rows, true, 96, 2);
  ASSERT_EQ(plan.blocks.size(), 1U);
  EXPECT_FALSE(plan.shared);
  EXPECT_EQ(plan.blocks[0].begin, 730U);
  EXPECT_EQ(plan.blocks[0].end, 733U);
  EXPECT_EQ(plan.blocks[0].n_plain, 0U);
}

TEST(PlanBlocks, FewRowsAreOneBlockThatAllThreadsShare) {
  const TestRows eight = rows_of(std::vector<size_t>(8, 1), 1);
  const BlockPlan plan = plan_blocks(eight.rows, true, 96, 4);
  ASSERT_EQ(plan.blocks.size(), 1U);
  EXPECT_FALSE(plan.shared);
  EXPECT_EQ(plan.blocks[0].n_rows(), 16U);
  EXPECT_EQ(plan.blocks[0].n_plain, 8U);
  EXPECT_EQ(plan.blocks[0].precision(false).n_plain, 8U);
  EXPECT_EQ(plan.blocks[0].precision(true).n_plain, 0U);
}

TEST(PlanBlocks, ManyRowsGiveEachThreadAsMuch) {
  const TestRows one = rows_of({1024}, 1);
  const BlockPlan plan = plan_blocks(one.rows, false, 96, 4);
  EXPECT_TRUE(plan.shared);
  EXPECT_GE(plan.blocks.size(), 4U * 4U);
  for (const Block& block : plan.blocks) EXPECT_LE(block.n_rows(), 96U);
}

}  // namespace
}  // namespace lazyfill
