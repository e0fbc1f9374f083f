#include "tokenizer/pretokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lazyfill {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<std::string> split(std::string_view name, std::string_view text) {
  const auto splitter = PreTokenizer::make(name);
  if (!splitter) {
    ADD_FAILURE() << splitter.error().message;
    return {};
  }
  std::vector<std::string_view> words;
  const auto done = splitter->split(text, words);
  EXPECT_TRUE(done) << done.error().message;
  return {words.begin(), words.end()};
}

TEST(PreTokenizer, Gpt2) {
  const auto gpt2 = [](std::string_view text) { return split("gpt-2", text); };
  EXPECT_THAT(gpt2("Hello world"), ElementsAre("Hello", " world"));
  EXPECT_THAT(gpt2("it's I'll 'S"), ElementsAre("it", "'s", " I", "'ll", " '", "S"));
  EXPECT_THAT(gpt2("a   b"), ElementsAre("a", "  ", " b")) << "the last space goes with the word";
  EXPECT_THAT(gpt2("a\n\nb  "), ElementsAre("a", "\n", "\n", "b", "  "));
  EXPECT_THAT(gpt2("x 123!? "), ElementsAre("x", " 123", "!?", " "));
  EXPECT_THAT(gpt2("e\u0301"), ElementsAre("e", "\u0301")) << "a combining mark is no letter";
  EXPECT_THAT(gpt2("\u00A0a"), ElementsAre("\u00A0", "a"));
  EXPECT_TRUE(gpt2("").empty());
}

TEST(PreTokenizer, SmolLmTakesDigitsOneByOne) {
  const auto smollm = [](std::string_view text) { return split("smollm", text); };
  EXPECT_THAT(smollm("in 1984"), ElementsAre("in", " ", "1", "9", "8", "4"));
  EXPECT_THAT(smollm("a  5"), ElementsAre("a", "  ", "5")) << "a number ends the text before it";
  EXPECT_THAT(smollm("\u00BD\u0663x"), ElementsAre("\u00BD", "\u0663", "x"));
  EXPECT_THAT(smollm("7's"), ElementsAre("7", "'s"));
}

TEST(PreTokenizer, Llama3) {
  const auto llama3 = [](std::string_view text) { return split("llama-bpe", text); };
  EXPECT_THAT(llama3("12345"), ElementsAre("123", "45"));
  EXPECT_THAT(llama3("IT'S (ok)"), ElementsAre("IT", "'S", " (", "ok", ")"));
  EXPECT_THAT(llama3("(ok"), ElementsAre("(ok"));
  EXPECT_THAT(llama3("a \n \n  b"), ElementsAre("a", " \n \n", " ", " b"));
  EXPECT_THAT(llama3("x;\r\n\ty"), ElementsAre("x", ";\r\n", "\ty"));
}

TEST(PreTokenizer, Qwen2TakesDigitsOneByOne) {
  EXPECT_THAT(split("qwen2", "v12 "), ElementsAre("v", "1", "2", " "));
}

TEST(PreTokenizer, CapitalsBeginWords) {
  EXPECT_THAT(split("tekken", "HelloWORLDs don't 12"),
              ElementsAre("Hello", "WORLDs", " don", "'t", " ", "1", "2"));
  EXPECT_THAT(split("gpt-4o", "HelloWORLDs don't 1234"),
              ElementsAre("Hello", "WORLDs", " don't", " ", "123", "4"));
  EXPECT_THAT(split("gpt-4o", "a/b//\n"), ElementsAre("a", "/b", "//\n"));
}

TEST(PreTokenizer, Deepseek) {
  EXPECT_THAT(split("deepseek-llm", "ab \u4E2D\u6587  12\n  "),
              ElementsAre("ab", " ", "\u4E2D\u6587", "  ", "12", "\n", "  "));
  EXPECT_THAT(split("deepseek-coder", "x = y(12)\n"), ElementsAre("x", " =", " y", "(", "1", "2", ")", "\n"));
  EXPECT_THAT(split("deepseek-v3", "_ab 1234\u4E2D\u3042"),
              ElementsAre("_ab", " ", "123", "4", "\u4E2D\u3042"));
}

TEST(PreTokenizer, PunctuationFirst) {
  EXPECT_THAT(split("falcon", "a, b 12345"), ElementsAre("a", ",", " b", " ", "123", "45"));
  EXPECT_THAT(split("default", "a, b 12345"), ElementsAre("a", ",", " b", " ", "123", "45"));
  EXPECT_THAT(split("default", "x 12"), ElementsAre("x", " ", "12"));
}

TEST(PreTokenizer, DigitsFromTheRight) {
  const auto group = [](DigitGroups groups, std::string_view text) {
    std::vector<std::string_view> words;
    group_digits(groups, text, words);
    return std::vector<std::string>(words.begin(), words.end());
  };
  EXPECT_THAT(group(DigitGroups::kNumbers, "a1234567b12"), ElementsAre("a", "1", "234", "567", "b", "12"));
  EXPECT_THAT(group(DigitGroups::kNumbers, "\u00BD123"), ElementsAre("\u00BD", "123"));
  EXPECT_THAT(group(DigitGroups::kBounded, "1234 1234b"), ElementsAre("1", "234", " 1234b"));
  EXPECT_THAT(group(DigitGroups::kCuts, "a1234 123456"), ElementsAre("a1", "234 ", "123", "456"));
  EXPECT_TRUE(group(DigitGroups::kCuts, "").empty());
}

TEST(PreTokenizer, NewerNames) {
  EXPECT_THAT(split("jais-2", "a     b"), ElementsAre("a", "    ", " b"));
  EXPECT_THAT(split("jais-2", "a" + std::string(700, ' ') + "\nb"),
              ElementsAre("a", std::string(700, ' ') + "\n", "b"));
  EXPECT_THAT(split("exaone-moe", "two words, more"), ElementsAre("two words", ",", " more"));
  EXPECT_THAT(split("kimi-k2", "ab\u4E2D\u6587cd"), ElementsAre("ab", "\u4E2D\u6587", "cd"));
  EXPECT_THAT(split("ufakzeka", "it's"), ElementsAre("it", "'s"));
  EXPECT_THAT(split("gemma4", "one text 12"), ElementsAre("one text 12"));
}

TEST(PreTokenizer, TheWordsAreTheText) {
  const std::string text = "  Tab\t\u3000 \u6F22\u5B57\u300C1\u300D \U0001F600's'\u0301 ...\r\n\n \x7F 'LL";
  for (const std::string_view name : pretokenizer_names()) {
    std::string joined;
    for (const std::string& word : split(name, text)) {
      EXPECT_FALSE(word.empty());
      joined += word;
    }
    EXPECT_EQ(joined, text) << name;
  }
}

// Expressions that go back over what they took cost the square of the length on texts like these: hours.
TEST(PreTokenizer, AMegabyteOfOneClassIsLinear) {
  constexpr size_t kBytes = 1 << 20;
  std::string paragraphs;
  std::string mixed_case;
  while (paragraphs.size() < kBytes) paragraphs += " \n";
  while (mixed_case.size() < kBytes) mixed_case += "aB\u05D0";
  for (const std::string_view name : pretokenizer_names()) {
    const auto splitter = PreTokenizer::make(name).value();
    for (const std::string& text :
         {std::string(kBytes, 'a'), std::string(kBytes, 'A'), std::string(kBytes, ' ') + "x",
          std::string(kBytes, '\n') + "x", std::string(kBytes, '7'), std::string(kBytes, '.'),
          std::string(kBytes, '\'') + "s", paragraphs + "x", mixed_case}) {
      std::vector<std::string_view> words;
      ASSERT_TRUE(splitter.split(text, words)) << name << " on a text that begins with " << text.substr(0, 8);
      EXPECT_FALSE(words.empty());
    }
  }
}

TEST(PreTokenizer, WhiteSpaceIsWhatUnicodeSays) {
  EXPECT_THAT(split("gpt-2", "a\u180Eb"), ElementsAre("a", "\u180E", "b")) << "no space since Unicode 6.3";
  EXPECT_THAT(split("gpt-2", "a\u0085\u2028 b"), ElementsAre("a", "\u0085\u2028", " b"));
  EXPECT_THAT(split("gpt-2", "!\u180E"), ElementsAre("!\u180E"));
}

TEST(PreTokenizer, NamesThatFilesUse) {
  EXPECT_TRUE(PreTokenizer::make("llama-bpe")->habits().takes_whole_words);
  EXPECT_TRUE(PreTokenizer::make("qwen2")->habits().composes);
  for (const char* name : {"SmolLM", "", " ", "gpt-2 phi-2"}) {
    const auto refused = PreTokenizer::make(name);
    ASSERT_FALSE(refused) << name;
    EXPECT_THAT(refused.error().message, HasSubstr("smollm, "));
  }
}

}  // namespace
}  // namespace lazyfill
