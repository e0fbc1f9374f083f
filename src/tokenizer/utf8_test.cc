#include "tokenizer/utf8.h"

#include <gtest/gtest.h>

namespace lazyfill::utf8 {
namespace {

TEST(Utf8, DecodesEveryLength) {
  EXPECT_EQ(decode("A", 0).code_point, U'A');
  EXPECT_EQ(decode("\xC3\xA9", 0).code_point, U'\u00E9');
  EXPECT_EQ(decode("x\xE6\xBC\xA2", 1).code_point, U'\u6F22');
  EXPECT_EQ(decode("\xF0\x9F\x98\x80", 0).code_point, U'\U0001F600');
  EXPECT_EQ(decode("\xF0\x9F\x98\x80", 0).n_bytes, 4U);
}

TEST(Utf8, EveryCharacterSurvivesTheRoundTrip) {
  for (char32_t c = 0; c < 0x110000; ++c) {
    if (c >= 0xD800 && c < 0xE000) continue;
    std::string text;
    append(text, c);
    const Decoded decoded = decode(text, 0);
    ASSERT_EQ(decoded.code_point, c);
    ASSERT_EQ(decoded.n_bytes, text.size());
  }
}

TEST(Utf8, FindsTheFirstInvalidByte) {
  EXPECT_EQ(first_invalid("plain \xC3\xA9"), std::nullopt);
  EXPECT_EQ(first_invalid(""), std::nullopt);
  EXPECT_EQ(first_invalid("ab\x80"), 2U);
  EXPECT_EQ(first_invalid("a\xC0\xAF"), 1U) << "overlong";
  EXPECT_EQ(first_invalid("\xED\xA0\x80"), 0U) << "surrogate";
  EXPECT_EQ(first_invalid("\xF4\x90\x80\x80"), 0U) << "above U+10FFFF";
  EXPECT_EQ(first_invalid("ab\xE6\xBC"), 2U) << "cut off";
}

TEST(Utf8, KnowsWhatMayStillBecomeACharacter) {
  EXPECT_EQ(incomplete_tail("abc"), 0U);
  EXPECT_EQ(incomplete_tail("a\xC3"), 1U);
  EXPECT_EQ(incomplete_tail("a\xE6\xBC"), 2U);
  EXPECT_EQ(incomplete_tail("\xF0\x9F\x98"), 3U);
  EXPECT_EQ(incomplete_tail("\xF0\x9F\x98\x80"), 0U);
  EXPECT_EQ(incomplete_tail("\xE0\x80"), 0U) << "an overlong form never becomes valid";
  EXPECT_EQ(incomplete_tail("\x80\x80"), 0U);
}

// The expected strings are those of Python's bytes.decode("utf-8", "replace").
TEST(Utf8, ReplacesMaximalInvalidSequences) {
  const std::string r = "\xEF\xBF\xBD";
  EXPECT_EQ(replace_invalid("a\x80"
                            "b"),
            "a" + r + "b");
  EXPECT_EQ(replace_invalid("\xE6\xBC"), r);
  EXPECT_EQ(replace_invalid("\xF0\x9F\x98"
                            "A"),
            r + "A");
  EXPECT_EQ(replace_invalid("\xE0\x80\x80"), r + r + r);
  EXPECT_EQ(replace_invalid("\xED\xA0\x80"), r + r + r);
  EXPECT_EQ(replace_invalid("\xC3\xA9"), "\xC3\xA9");
}

TEST(Utf8, NamesInMessagesArePrintable) {
  EXPECT_EQ(printable("smollm"), "smollm");
  EXPECT_EQ(printable("a\x1B[2J\n\xFF"), "a?[2J??");
  EXPECT_EQ(printable(std::string(100, 'x')), std::string(48, 'x') + "...");
}

TEST(Utf8, KnowsCategories) {
  EXPECT_TRUE(is_letter(U'\u6F22'));
  EXPECT_TRUE(is_letter(U'\u02B0')) << "Lm";
  EXPECT_FALSE(is_letter(U'\u0301')) << "a combining mark";
  EXPECT_TRUE(is_number(U'\u00BD')) << "No";
  EXPECT_TRUE(is_number(U'\u216B')) << "Nl";
  EXPECT_TRUE(is_space(U'\u3000'));
  EXPECT_TRUE(is_space(U'\u0085'));
  EXPECT_FALSE(is_space(U'\u200B')) << "zero width, not White_Space";
  EXPECT_FALSE(is_space(U'\u001F')) << "a separator to Python, not White_Space";
}

}  // namespace
}  // namespace lazyfill::utf8
