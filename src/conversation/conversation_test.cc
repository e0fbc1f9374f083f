#include "conversation/conversation.h"

#include <gtest/gtest.h>

namespace lazyfill {
namespace {

TEST(CommonPrefix, CountsEqualTokens) {
  EXPECT_EQ(common_prefix({1, 2, 3}, {1, 2, 4, 5}), 2U);
  EXPECT_EQ(common_prefix({1, 2}, {1, 2, 3}), 2U);
  EXPECT_EQ(common_prefix({}, {1}), 0U);
  EXPECT_EQ(common_prefix({2}, {1}), 0U);
}

}  // namespace
}  // namespace lazyfill
