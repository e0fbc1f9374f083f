#include "base/checked.h"

#include <gtest/gtest.h>

namespace lazyfill {
namespace {

constexpr uint64_t kMax = UINT64_MAX;

TEST(Checked, AddsMultipliesAndAlignsWithinRange) {
  EXPECT_EQ(checked_add(2, 3), 5U);
  EXPECT_EQ(checked_mul(6, 7), 42U);
  EXPECT_EQ(checked_align_up(33, 32), 64U);
  EXPECT_EQ(checked_align_up(64, 32), 64U);
}

TEST(Checked, GivesNothingOnOverflow) {
  EXPECT_FALSE(checked_add(kMax, 1));
  EXPECT_FALSE(checked_mul(kMax / 2 + 1, 2));
  EXPECT_FALSE(checked_align_up(kMax - 1, 64));
}

}  // namespace
}  // namespace lazyfill
