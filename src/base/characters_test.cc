#include "base/characters.h"

#include <gtest/gtest.h>

namespace lazyfill {
namespace {

TEST(CountCharacters, OfOneToFourBytes) {
  EXPECT_EQ(count_characters(""), 0U);
  EXPECT_EQ(count_characters("ab\n"), 3U);
  EXPECT_EQ(count_characters("n\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80"), 4U);
}

}  // namespace
}  // namespace lazyfill
