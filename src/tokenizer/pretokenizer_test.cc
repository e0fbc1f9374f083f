#include "tokenizer/pretokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lazyfill {
namespace {

using ::testing::ElementsAre;

std::vector<std::string> split(PreTokenizer kind, std::string_view text) {
  std::vector<std::string_view> words;
  split_words(kind, text, words);
  return {words.begin(), words.end()};
}

TEST(PreTokenizer, Gpt2) {
  const auto gpt2 = [](std::string_view text) { return split(PreTokenizer::kGpt2, text); };
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
  const auto smollm = [](std::string_view text) { return split(PreTokenizer::kDigitsGpt2, text); };
  EXPECT_THAT(smollm("in 1984"), ElementsAre("in", " ", "1", "9", "8", "4"));
  EXPECT_THAT(smollm("a  5"), ElementsAre("a", "  ", "5")) << "a number ends the text before it";
  EXPECT_THAT(smollm("\u00BD\u0663x"), ElementsAre("\u00BD", "\u0663", "x"));
  EXPECT_THAT(smollm("7's"), ElementsAre("7", "'s"));
}

TEST(PreTokenizer, Llama3) {
  const auto llama3 = [](std::string_view text) { return split(PreTokenizer::kLlama3, text); };
  EXPECT_THAT(llama3("12345"), ElementsAre("123", "45"));
  EXPECT_THAT(llama3("IT'S (ok)"), ElementsAre("IT", "'S", " (", "ok", ")"));
  EXPECT_THAT(llama3("(ok"), ElementsAre("(ok"));
  EXPECT_THAT(llama3("a \n \n  b"), ElementsAre("a", " \n \n", " ", " b"));
  EXPECT_THAT(llama3("x;\r\n\ty"), ElementsAre("x", ";\r\n", "\ty"));
}

TEST(PreTokenizer, Qwen2TakesDigitsOneByOne) {
  EXPECT_THAT(split(PreTokenizer::kQwen2, "v12 "), ElementsAre("v", "1", "2", " "));
}

TEST(PreTokenizer, TheWordsAreTheText) {
  const std::string text = "  Tab\t\u3000 \u6F22\u5B57\u300C1\u300D \U0001F600's'\u0301 ...\r\n\n \x7F 'LL";
  for (const auto kind :
       {PreTokenizer::kGpt2, PreTokenizer::kDigitsGpt2, PreTokenizer::kLlama3, PreTokenizer::kQwen2}) {
    std::string joined;
    for (const std::string& word : split(kind, text)) {
      EXPECT_FALSE(word.empty());
      joined += word;
    }
    EXPECT_EQ(joined, text);
  }
}

TEST(PreTokenizer, NamesThatFilesUse) {
  EXPECT_EQ(find_pretokenizer("smollm"), PreTokenizer::kDigitsGpt2);
  EXPECT_EQ(find_pretokenizer("gpt-2"), PreTokenizer::kGpt2);
  EXPECT_EQ(find_pretokenizer("SmolLM"), std::nullopt);
  EXPECT_EQ(find_pretokenizer(""), std::nullopt);
  EXPECT_NE(pretokenizer_names().find("smollm"), std::string::npos);
}

}  // namespace
}  // namespace lazyfill
