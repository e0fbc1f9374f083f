#include "pruning/revival_budget.h"

#include <gtest/gtest.h>

namespace lazyfill {
namespace {

// A row costs 20 in a layer without columns and 0.4 for each column that it sees.
constexpr DecodeBytes kBytes{10, 1000, 100, 1};
constexpr double kDense = 1000 + 10 * 100;  // a dense step over 100 columns

// A step whose newest row sees n_seen of 100 columns in every layer.
double after_step(double saved, size_t n_seen, bool is_prompt = false) {
  RevivalBudget budget(kBytes, saved);
  for (int layer = 0; layer < 10; ++layer) budget.leave_layer(n_seen, 100, 0);
  return budget.end_step(is_prompt);
}

TEST(RevivalBudget, PaysForRowsUpToTheTop) {
  const RevivalBudget budget(kBytes, 1000);
  EXPECT_EQ(budget.affordable(0, 0, 0), 5U);    // 10 layers of 20
  EXPECT_EQ(budget.affordable(5, 0, 0), 10U);   // 5 layers of 20
  EXPECT_EQ(budget.affordable(5, 50, 0), 5U);   // 5 layers of 20 + 20
  EXPECT_EQ(budget.affordable(5, 50, 3), 2U);   // beside three that come up from below
  EXPECT_EQ(budget.affordable(5, 50, 20), 0U);  // more than it can pay for
  EXPECT_EQ(RevivalBudget(kBytes, 0).affordable(5, 0, 0), 0U);
  EXPECT_EQ(RevivalBudget(kBytes, -50).affordable(5, 0, 0), 0U);
}

TEST(RevivalBudget, SavesWhatIsNotReadAndAShareOfADenseStep) {
  EXPECT_DOUBLE_EQ(after_step(0, 60), 0.8 * 10 * 40 + 0.02 * kDense);
  EXPECT_DOUBLE_EQ(after_step(0, 120), 0.02 * kDense);  // seeing more than dense earns nothing
}

TEST(RevivalBudget, RowsCostWhatTheyReadAndDebtsRemain) {
  RevivalBudget budget(kBytes, 50);
  budget.leave_layer(100, 100, 2);  // two rows of 20 + 40
  EXPECT_DOUBLE_EQ(budget.end_step(false), 50 - 120 + 0.02 * (1000 + 100));
  EXPECT_EQ(budget.affordable(9, 0, 0), 0U);
}

TEST(RevivalBudget, ChoicesTakeTime) {
  RevivalBudget budget(kBytes, 10);
  budget.leave_layer(0, 1000, 0);
  budget.choose(1);
  EXPECT_DOUBLE_EQ(budget.end_step(false), 10 + 0.8 * 1000 - 400.5 + 0.02 * 2000);
}

TEST(RevivalBudget, AnAnswerBeginsWithALoanAndNoMoreIsLaidAside) {
  EXPECT_DOUBLE_EQ(after_step(0, 60, true), 5 * kDense);
  EXPECT_DOUBLE_EQ(after_step(0, 100, true), 5 * kDense);
  EXPECT_DOUBLE_EQ(after_step(5 * kDense, 60), 5 * kDense);
  EXPECT_DOUBLE_EQ(after_step(4 * kDense, 100), 4.02 * kDense);
}

}  // namespace
}  // namespace lazyfill
