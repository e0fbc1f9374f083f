#include "base/quoted.h"

#include <gtest/gtest.h>

namespace lazyfill {
namespace {

TEST(Quoted, KeepsPlainTextAndEscapesTheRest) {
  EXPECT_EQ(quoted("blk.0.attn_q"), "\"blk.0.attn_q\"");
  EXPECT_EQ(quoted("a\"\\\n\x1b[31m"), "\"a\\x22\\x5c\\x0a\\x1b[31m\"");
  EXPECT_EQ(quoted(std::string_view("\0\xff", 2)), "\"\\x00\\xff\"");
}

TEST(Quoted, CutsLongText) {
  EXPECT_EQ(quoted("abcdef", 3), "\"abc...\"");
}

}  // namespace
}  // namespace lazyfill
