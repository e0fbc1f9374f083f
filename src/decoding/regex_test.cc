#include "decoding/regex.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lazyfill {
namespace {

using ::testing::HasSubstr;

bool fits(std::string_view pattern, std::string_view text, RegexMatch match = RegexMatch::kWhole,
          CharacterTerm character = utf8_term) {
  Terms terms;
  const auto term = parse_regex(terms, pattern, match, character);
  EXPECT_TRUE(term) << pattern << ": " << term.error().message;
  if (!term) return false;
  terms.close();
  return terms.nullable(terms.after(*term, text));
}

std::string error_of(std::string_view pattern) {
  Terms terms;
  const auto term = parse_regex(terms, pattern, RegexMatch::kWhole);
  return term ? "" : term.error().message;
}

TEST(Regex, MatchesTheWholeText) {
  EXPECT_TRUE(fits("ab|cd", "cd"));
  EXPECT_FALSE(fits("ab|cd", "abcd"));
  EXPECT_TRUE(fits("^ab$", "ab"));
  EXPECT_TRUE(fits("(a|b)*c", "abbac"));
  EXPECT_TRUE(fits("a{2,3}", "aaa"));
  EXPECT_FALSE(fits("a{2,3}", "aaaa"));
  EXPECT_TRUE(fits("a{,3}", "a{,3}")) << "no count: stands for itself";
  EXPECT_TRUE(fits("x+?y*?", "xxy"));
  EXPECT_TRUE(fits("(?:a(?<name>b))?", "ab"));
  EXPECT_TRUE(fits("", ""));
}

TEST(Regex, SearchesWhereAsked) {
  EXPECT_TRUE(fits("b", "abc", RegexMatch::kSearch));
  EXPECT_FALSE(fits("^b", "abc", RegexMatch::kSearch));
  EXPECT_TRUE(fits("^a|x$", "abc", RegexMatch::kSearch));
  EXPECT_TRUE(fits("^a|c$", "xbc", RegexMatch::kSearch));
  EXPECT_FALSE(fits("^a|x$", "bac", RegexMatch::kSearch));
}

TEST(Regex, ClassesAndEscapes) {
  EXPECT_TRUE(fits("[a-c_]+", "ab_c"));
  EXPECT_FALSE(fits("[^a-c]", "b"));
  EXPECT_TRUE(fits("[^a-c]", "\u20AC"));
  EXPECT_TRUE(fits("[]a]+", "a]"));
  EXPECT_TRUE(fits("[\\d.-]+", "3-.1"));
  EXPECT_TRUE(fits("\\x41\\u0042\\x{43}\\u{1F600}\\uD83D\\uDE00", "ABC\U0001F600\U0001F600"));
  EXPECT_TRUE(fits("\\w\\s\\D\\.", "a\tb."));
  EXPECT_FALSE(fits(".", "\n"));
  EXPECT_TRUE(fits(".", "\u00E9"));
  EXPECT_FALSE(fits(".", "\xC3"));
}

TEST(Regex, UnicodeClassesAreUtf8) {
  EXPECT_TRUE(fits("\\p{Lu}\\p{Ll}+", "\u00C9t\u00E9"));
  EXPECT_FALSE(fits("\\p{Lu}", "\u00E9"));
  EXPECT_TRUE(fits("\\P{L}", "1"));
  EXPECT_TRUE(fits("\\p{L}+", "\u6F22\u0416"));
  EXPECT_TRUE(fits("[\\p{N}x]", "\u0661"));
}

// Every character, whole and cut: the byte automaton takes exactly the set's encodings.
TEST(Regex, RangesTakeExactlyTheirCharacters) {
  Terms terms;
  const std::pair<char32_t, char32_t> ranges[] = {
      {0x41, 0x7FF}, {0x7F, 0x80}, {0x123, 0xFFFF}, {0xFFFE, 0x10437}, {0, 0x10FFFF}};
  for (const auto& [first, last] : ranges) {
    const Term term = utf8_term(terms, {first, last});
    for (char32_t c = 0; c <= 0x10FFFF; c += c < 0x3000 ? 1 : 0x35) {
      if (c >= 0xD800 && c <= 0xDFFF) continue;
      std::string text;
      if (c < 0x80) {
        text = {static_cast<char>(c)};
      } else if (c < 0x800) {
        text = {static_cast<char>(0xC0 | (c >> 6)), static_cast<char>(0x80 | (c & 63))};
      } else if (c < 0x10000) {
        text = {static_cast<char>(0xE0 | (c >> 12)), static_cast<char>(0x80 | ((c >> 6) & 63)),
                static_cast<char>(0x80 | (c & 63))};
      } else {
        text = {static_cast<char>(0xF0 | (c >> 18)), static_cast<char>(0x80 | ((c >> 12) & 63)),
                static_cast<char>(0x80 | ((c >> 6) & 63)), static_cast<char>(0x80 | (c & 63))};
      }
      ASSERT_EQ(terms.nullable(terms.after(term, text)), c >= first && c <= last)
          << std::hex << static_cast<uint32_t>(c);
    }
  }
}

TEST(Regex, JsonSpellsCharactersInItsWays) {
  const auto json = [](std::string_view pattern, std::string_view text) {
    return fits(pattern, text, RegexMatch::kWhole, json_term);
  };
  EXPECT_TRUE(json("a\"\\\\\n", R"(a\"\\\n)"));
  EXPECT_FALSE(json("\"", "\""));
  EXPECT_FALSE(json("\\n", "\n"));
  EXPECT_TRUE(json("\\x01", R"(\u0001)"));
  EXPECT_TRUE(json("\u00E9\u00E9", "\u00E9\\u00e9"));
  EXPECT_TRUE(json("\U0001F600", R"(\uD83D\uDE00)"));
  EXPECT_TRUE(json("[\U0001F5FF-\U0001F600]", R"(\ud83d\uddff)"));
  EXPECT_FALSE(json(".", R"(\uD83D)"));
  EXPECT_FALSE(json(".", R"(\uD83D\uD83D)"));
}

TEST(Regex, WhatNoAutomatonKnowsIsRefusedByName) {
  EXPECT_THAT(error_of("(a)\\1"), HasSubstr("byte 3: back-references"));
  EXPECT_THAT(error_of("\\k<x>"), HasSubstr("back-references"));
  EXPECT_THAT(error_of("(?=a)"), HasSubstr("look-aheads"));
  EXPECT_THAT(error_of("(?<!a)b"), HasSubstr("look-behinds"));
  EXPECT_THAT(error_of("\\bx"), HasSubstr("word boundaries"));
  EXPECT_THAT(error_of("(?>a)"), HasSubstr("atomic groups"));
  EXPECT_THAT(error_of("a*+"), HasSubstr("possessive"));
  EXPECT_THAT(error_of("(?i)a"), HasSubstr("inline flags"));
  EXPECT_THAT(error_of("\\p{Script=Greek}"), HasSubstr("Unicode property"));
  EXPECT_THAT(error_of("[[:alpha:]]"), HasSubstr("POSIX"));
}

TEST(Regex, MistakesAreToldWithTheirPlace) {
  EXPECT_THAT(error_of("ab("), HasSubstr("byte 3: a group has no )"));
  EXPECT_THAT(error_of("a)b"), HasSubstr("byte 1"));
  EXPECT_THAT(error_of("[a"), HasSubstr("byte 0: a [ has no ]"));
  EXPECT_THAT(error_of("*a"), HasSubstr("nothing to repeat"));
  EXPECT_THAT(error_of("a{3,1}"), HasSubstr("above its maximum"));
  EXPECT_THAT(error_of("a{1,1000000000}"), HasSubstr("too large"));
  EXPECT_THAT(error_of("[z-a]"), HasSubstr("ends before it begins"));
  EXPECT_THAT(error_of("a^b"), HasSubstr("anchor ^"));
  EXPECT_THAT(error_of("(^a)"), HasSubstr("anchor ^"));
  EXPECT_THAT(error_of("a$b"), HasSubstr("anchor $"));
  EXPECT_THAT(error_of("\\"), HasSubstr("ends the pattern"));
  EXPECT_THAT(error_of("\\uD800"), HasSubstr("no such character"));
  EXPECT_THAT(error_of("\xFF"), HasSubstr("not valid UTF-8"));
  EXPECT_THAT(error_of(std::string(300, '(')), HasSubstr("deeper"));
}

}  // namespace
}  // namespace lazyfill
