#include "cli/words.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <map>

namespace lazyfill::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using Words = std::vector<std::string>;

std::optional<Takes> known(std::string_view name) {
  static const std::map<std::string_view, Takes> flags = {
      {"-n", Takes::kValue},        {"--max-tokens", Takes::kValue}, {"--temp", Takes::kValue},
      {"-t", Takes::kValue},        {"--threads", Takes::kValue},    {"--seed", Takes::kValue},
      {"-s", Takes::kValue},        {"-p", Takes::kValue},           {"--prompt", Takes::kValue},
      {"--system", Takes::kValue},  {"--ctx", Takes::kValue},        {"--chat", Takes::kNothing},
      {"--quiet", Takes::kNothing}, {"-m", Takes::kValue},           {"--json", Takes::kMaybeFile}};
  const auto found = flags.find(name);
  return found == flags.end() ? std::nullopt : std::optional(found->second);
}

Words understood(const Words& args) {
  const auto result = understand_args(args, known);
  EXPECT_TRUE(result) << result.error().message;
  return result ? result->args : Words();
}

TEST(Words, FlagsOfOtherProgramsBecomeOurs) {
  EXPECT_THAT(understood({"--temperature", "0.5", "--n-predict=7"}),
              ElementsAre("--temp", "0.5", "--max-tokens=7"));
  EXPECT_THAT(understood({"--max_tokens", "7", "--num_ctx", "9"}),
              ElementsAre("--max-tokens", "7", "--ctx", "9"));
  EXPECT_THAT(understood({"-temp", "0", "-seed=3", "-sys", "Be brief", "-cnv"}),
              ElementsAre("--temp", "0", "--seed=3", "--system", "Be brief", "--chat"));
}

TEST(Words, ValuesStayAsTheyAre) {
  EXPECT_THAT(understood({"-p", "--temperature", "-n5", "--prompt", "-ngl"}),
              ElementsAre("-p", "--temperature", "-n5", "--prompt", "-ngl"));
  const auto ended = understand_args({"--quiet", "--", "--n-predict", "-ngl"}, known);
  ASSERT_TRUE(ended);
  EXPECT_THAT(ended->args, ElementsAre("--quiet"));
  EXPECT_THAT(ended->words, ElementsAre("--n-predict", "-ngl"));
  EXPECT_THAT(understood({"-", "", "-p"}), ElementsAre("-", "", "-p"));
}

TEST(Words, FlagsThatMeanNothingHereAreNamedAndLeftOut) {
  const auto result =
      understand_args({"-ngl", "99", "-fa", "on", "-fa", "-n", "3", "--n_gpu_layers=9", "--mlock"}, known);
  ASSERT_TRUE(result);
  EXPECT_THAT(result->args, ElementsAre("-n", "3"));
  ASSERT_EQ(result->warnings.size(), 5U);
  EXPECT_EQ(result->warnings[0], "-ngl is ignored: lazyfill computes on the processor");
}

TEST(Words, WhatIsNotPlainGetsAHint) {
  EXPECT_THAT(understand_args({"--interactive"}, known).error().message, HasSubstr("lazyfill chat"));
  EXPECT_THAT(understand_args({"--output-format", "json"}, known).error().message, HasSubstr("--json FILE"));
}

TEST(Words, JsonMayHaveAFile) {
  EXPECT_THAT(understood({"--json"}), ElementsAre("--json=-"));
  EXPECT_THAT(understood({"--json", "-n", "3"}), ElementsAre("--json=-", "-n", "3"));
  EXPECT_THAT(understood({"--json", "out.json", "--json", "-"}), ElementsAre("--json=out.json", "--json=-"));
  EXPECT_THAT(understood({"--json=out.json", "x"}), ElementsAre("--json=out.json", "x"));
  EXPECT_THAT(understood({"--json", "model.gguf"}), ElementsAre("--json=-", "model.gguf"));
  EXPECT_THAT(understood({"--json", "b.gguf", "-m", "a.gguf"}), ElementsAre("--json=b.gguf", "-m", "a.gguf"));
}

TEST(Words, AModelAndAPromptInEitherOrder) {
  for (const Words& words : {Words{"m.GGUF", "hi there"}, Words{"hi there", "m.GGUF"}}) {
    std::string model;
    std::optional<std::string> prompt;
    EXPECT_EQ(understand_words(words, model, &prompt), "");
    EXPECT_EQ(model, "m.GGUF");
    EXPECT_EQ(prompt, "hi there");
  }
}

TEST(Words, AModelIsKnownByItsFirstBytes) {
  const std::string path = testing::TempDir() + "words_test_model.bin";
  std::ofstream(path) << "GGUF and more";
  EXPECT_TRUE(names_model(path));
  std::ofstream(path) << "GGML";
  EXPECT_FALSE(names_model(path));
  EXPECT_FALSE(names_model(testing::TempDir()));
}

TEST(Words, ArgumentsThatAreNotPlainNameTheFlag) {
  struct Case {
    Words words;
    std::string model;
    std::optional<std::string> prompt;
    std::string sentence;
  };
  const std::string file = testing::TempDir() + "words_test.txt";
  std::ofstream(file) << "text";
  for (const Case& c : std::vector<Case>{{{"m.gguf", "what", "is"}, "", {}, "-p \"what ...\""},
                                         {{"a.gguf", "b.gguf"}, "", {}, "two models"},
                                         {{"a.gguf"}, "b.gguf", {}, "two models"},
                                         {{"hi"}, "", "ho", "two prompts"},
                                         {{file}, "", {}, "-f reads the prompt"},
                                         {{"llama3:8b"}, "", {}, "-m MODEL.gguf"}}) {
    std::string model = c.model;
    std::optional<std::string> prompt = c.prompt;
    EXPECT_THAT(understand_words(c.words, model, &prompt), HasSubstr(c.sentence));
  }
  std::string model;
  EXPECT_THAT(understand_words({"hi"}, model, nullptr), HasSubstr("-m MODEL.gguf"));
}

TEST(Words, CommandsOfOthers) {
  EXPECT_EQ(our_command("generate"), "run");
  EXPECT_EQ(our_command("dance"), "");
}

TEST(Words, AVariableWhoseValueIsWrongIsNamed) {
  setenv("LAZYFILL_MAX_TOKENS", "12", 1);
  setenv("LAZYFILL_MODEL", "none.gguf", 1);
  EXPECT_EQ(variables_behind("--max-tokens takes a whole number from 1 to 9, not '12'"),
            " (from the variable LAZYFILL_MAX_TOKENS)");
  EXPECT_EQ(variables_behind("cannot open the model 'none.gguf': No such file"),
            " (from the variable LAZYFILL_MODEL)");
  EXPECT_EQ(variables_behind("--max-tokens takes a whole number from 1 to 9, not '512'"), "");
  EXPECT_EQ(variables_behind("LAZYFILL_MAX_TOKENS is '12'"), "");
  EXPECT_EQ(variables_behind("the prompt has 12 tokens"), "");
  EXPECT_EQ(variables_behind("\"none.gguf\" is no schedule"), " (from the variable LAZYFILL_MODEL)");
  setenv("LAZYFILL_CTX", "9000", 1);
  EXPECT_EQ(variables_behind("--ctx 9,000 is above this model's context of 8,192 tokens; give less"),
            " (from the variable LAZYFILL_CTX)");
  EXPECT_EQ(variables_behind("--ctx 9,000,000 is above this model's context"), "");
  unsetenv("LAZYFILL_MAX_TOKENS");
  unsetenv("LAZYFILL_MODEL");
  unsetenv("LAZYFILL_CTX");
}

}  // namespace
}  // namespace lazyfill::cli
