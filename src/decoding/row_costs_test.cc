#include "decoding/row_costs.h"

#include <gtest/gtest.h>

namespace lazyfill {
namespace {

TEST(RowCosts, ARowIsOneOfItself) {
  RowCosts costs;
  EXPECT_DOUBLE_EQ(costs.of(1), 1);
  EXPECT_GT(costs.of(2), 1);
  EXPECT_GT(costs.of(9), costs.of(8));
}

TEST(RowCosts, StepsTeachWhatARowCosts) {
  RowCosts costs;
  for (size_t i = 0; i < 60; ++i) costs.note(1 + i % 8, 10 + 4 * static_cast<double>(i % 8));
  EXPECT_NEAR(costs.of(8), 1 + 7 * 0.4, 0.1);
  for (size_t i = 0; i < 600; ++i) costs.note(1 + i % 8, 10 + 0.5 * static_cast<double>(i % 8));
  EXPECT_NEAR(costs.of(8), 1 + 7 * 0.05, 0.02);  // what was before is forgotten
}

// Steps of one number of rows say nothing of how the costs divide: then it is taken as it was.
TEST(RowCosts, StepsOfOneKindChangeLittle) {
  RowCosts before;
  RowCosts costs;
  for (size_t i = 0; i < 100; ++i) costs.note(1, 25);
  EXPECT_NEAR(costs.of(8), before.of(8), 1e-9);
  RowCosts many;
  for (size_t i = 0; i < 100; ++i) many.note(8, 25);
  EXPECT_NEAR(many.of(8), before.of(8), 0.05);
}

TEST(RowCosts, AStepThatIsHeldUpCountsLittle) {
  RowCosts costs;
  for (size_t i = 0; i < 60; ++i) costs.note(1 + i % 8, 10 + static_cast<double>(i % 8));
  costs.note(8, 5000);
  EXPECT_LT(costs.of(8), 1 + 7 * 0.1 * 1.5);
  costs.note(3, 0);
  EXPECT_GT(costs.of(8), 1);
}

}  // namespace
}  // namespace lazyfill
