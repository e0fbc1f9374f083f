#include "cli/text.h"

#include <gtest/gtest.h>

namespace lazyfill::cli {
namespace {

TEST(Text, SplitsAndJoins) {
  EXPECT_EQ(split("a,,b", ','), (std::vector<std::string>{"a", "", "b"}));
  EXPECT_EQ(split("", ','), std::vector<std::string>{""});
  EXPECT_EQ(join({"a", "b"}, ", "), "a, b");
}

TEST(Text, FindsTheFirstInvalidByte) {
  EXPECT_EQ(find_invalid_utf8("Gr\xC3\xBC\xC3\x9F \xF0\x9F\x99\x82"), std::string_view::npos);
  EXPECT_EQ(find_invalid_utf8("ab\xFFz"), 2U);
  EXPECT_EQ(find_invalid_utf8("\xC0\xAF"), 0U);          // overlong
  EXPECT_EQ(find_invalid_utf8("a\xED\xA0\x80"), 1U);     // surrogate
  EXPECT_EQ(find_invalid_utf8("\xF4\x90\x80\x80"), 0U);  // above U+10FFFF
  EXPECT_EQ(find_invalid_utf8("abc\xE6\xBC"), 3U);       // cut off
}

TEST(Text, PrintableHoldsNothingThatSteersATerminal) {
  EXPECT_EQ(printable("a\033[2Jb\nc\td"), "a\uFFFD[2Jb\nc\td");
  EXPECT_EQ(printable("a\r\nb\rc\r"), "a\nbc");
  EXPECT_EQ(printable("\xC2\x9B"), "\uFFFD");    // the one-character form of ESC [
  EXPECT_EQ(printable("a\u202Eb"), "a\uFFFDb");  // turns the direction of writing
  EXPECT_EQ(printable("\u6F22\xE6"), "\u6F22\uFFFD");
}

TEST(Text, QuotesShortAndWhole) {
  EXPECT_EQ(quote("a\nb"), "'a b'");
  EXPECT_EQ(quote(std::string(100, 'x')), "'" + std::string(60, 'x') + "...'");
}

TEST(Text, NumbersAsPeopleReadThem) {
  EXPECT_EQ(grouped(7), "7");
  EXPECT_EQ(grouped(8192), "8,192");
  EXPECT_EQ(grouped(1234567), "1,234,567");
  EXPECT_EQ(duration_text(3.25), "3.2 ms");
  EXPECT_EQ(duration_text(85.4), "85 ms");
  EXPECT_EQ(duration_text(999.9), "1.00 s");
  EXPECT_EQ(duration_text(125'000), "2 min 5 s");
  EXPECT_EQ(bytes_text(999), "999 B");
  EXPECT_EQ(bytes_text(98'360'000), "98.4 MB");
  EXPECT_EQ(short_number(0.5), "0.5");
}

TEST(Text, PadsByColumnsNotBytes) {
  EXPECT_EQ(padded("\u00FC", 3), "  \u00FC");
  EXPECT_EQ(padded("ab", -4), "ab  ");
  EXPECT_EQ(padded("abcd", 2), "abcd");
}

TEST(MergePieces, JoinsTokensThatShareACharacter) {
  const auto groups = merge_pieces({"a", "\xF0\x9F", "\x99\x82", "b"});
  ASSERT_EQ(groups.size(), 3U);
  EXPECT_EQ(groups[1].text, "\xF0\x9F\x99\x82");
  EXPECT_EQ(groups[1].first_token, 1U);
  EXPECT_EQ(groups[1].n_tokens, 2U);
  EXPECT_EQ(groups[2].first_token, 3U);
}

TEST(MergePieces, BytesThatNeverBecomeACharacterAreReplaced) {
  const auto groups = merge_pieces({"\xE6", "x", "\xFF"});
  std::string text;
  size_t n_tokens = 0;
  for (const TextGroup& group : groups) {
    text += group.text;
    n_tokens += group.n_tokens;
  }
  EXPECT_EQ(n_tokens, 3U);
  EXPECT_EQ(text, "\uFFFDx\uFFFD");
}

}  // namespace
}  // namespace lazyfill::cli
