#include "cli/flags.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <limits>

namespace lazyfill::cli {
namespace {

using testing::HasSubstr;
using testing::Not;

struct Parsed {
  std::string text = "auto";
  std::vector<std::string> texts;
  std::vector<size_t> counts;
  std::vector<std::string> breakers = {":"};
  std::vector<LogitBias> biases;
  int32_t last_n = 64;
  size_t count = 5;
  Revival revive;
  std::optional<StreamOptions> stream;
  size_t choice = 0;
  float real = 0.5F;
  std::optional<float> share;
  bool on = false;
  std::optional<int> exit_code;
  std::string out;
  std::string err;
};

Parsed parse(const std::vector<std::string>& args) {
  Parsed parsed;
  Flags flags("try", "Tries flags.", "  lazyfill try -n 3\n");
  flags.add_text("--some-text", parsed.text, "TEXT", "a text");
  flags.add_texts("--stop", parsed.texts, "TEXT", "several texts");
  flags.add_counts("--lengths", parsed.counts, 1, 100, "several numbers");
  flags.add_count("-n,--max-tokens", parsed.count, 1, 100, "a number");
  flags.add_last_n("--last-n", parsed.last_n, 100, "so many of the last");
  flags.add_breakers("--breaker", parsed.breakers, "texts with escapes");
  flags.add_biases("--logit-bias", parsed.biases, "biases of tokens");
  flags.add_revival("--revive", parsed.revive, 100, "a number or a word");
  flags.add_stream(parsed.stream);
  flags.add_choice("--policy", parsed.choice, {"lazy", "random"}, "a choice");
  flags.add_real("--temp", parsed.real, 0, 2, "a real number");
  flags.add_real("--share", parsed.share, 0, 1, "a real number that may be absent");
  flags.add_switch("--quiet", parsed.on, "a switch");
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  parsed.exit_code = flags.parse(args);
  parsed.out = testing::internal::GetCapturedStdout();
  parsed.err = testing::internal::GetCapturedStderr();
  return parsed;
}

TEST(Flags, SetsWhatIsGivenAndLeavesTheRest) {
  const Parsed parsed = parse({"-n", "7", "--temp=1.5", "--stop", "a,b", "--stop", "[c]", "--lengths", "1,20",
                               "--quiet", "--policy", "random"});
  EXPECT_FALSE(parsed.exit_code);
  EXPECT_EQ(parsed.count, 7U);
  EXPECT_FLOAT_EQ(parsed.real, 1.5F);
  EXPECT_EQ(parsed.texts, (std::vector<std::string>{"a,b", "[c]"}));
  EXPECT_EQ(parsed.counts, (std::vector<size_t>{1, 20}));
  EXPECT_TRUE(parsed.on);
  EXPECT_EQ(parsed.choice, 1U);
  EXPECT_EQ(parsed.text, "auto");
}

TEST(Flags, AnOptionalRealTellsWhetherItWasGiven) {
  EXPECT_FALSE(parse({}).share);
  EXPECT_EQ(parse({"--share", "1"}).share, 1.0F);
  const Parsed wrong = parse({"--share", "1.5"});
  EXPECT_EQ(wrong.exit_code, kExitUsage);
  EXPECT_THAT(wrong.err, HasSubstr("--share takes a number from 0 to 1"));
}

TEST(Flags, TextsMayLookLikeFlags) {
  EXPECT_EQ(parse({"--some-text", "-n 5"}).text, "-n 5");
}

TEST(Flags, TheLastOfAFlagCountsAndTextsAreAllTaken) {
  const Parsed parsed = parse({"-n",        "7",       "--max-tokens", "8",    "--temp",      "1",
                               "--temp",    "2",       "--some-text",  "a",    "--some-text", "b",
                               "--policy",  "random",  "--policy",     "lazy", "--lengths",   "1,2",
                               "--lengths", "3",       "--revive",     "1",    "--revive",    "all",
                               "--share",   "0.1",     "--share",      "0.2",  "--quiet",     "--quiet=false",
                               "--quiet",   "--quiet", "--stop",       "x",    "--stop",      "y"});
  EXPECT_FALSE(parsed.exit_code) << parsed.err;
  EXPECT_EQ(parsed.count, 8U);
  EXPECT_FLOAT_EQ(parsed.real, 2);
  EXPECT_EQ(parsed.text, "b");
  EXPECT_EQ(parsed.choice, 0U);
  EXPECT_EQ(parsed.counts, std::vector<size_t>{3});
  EXPECT_EQ(parsed.revive, Revival::all());
  EXPECT_FLOAT_EQ(*parsed.share, 0.2F);
  EXPECT_TRUE(parsed.on);
  EXPECT_EQ(parsed.texts, (std::vector<std::string>{"x", "y"}));
  EXPECT_FALSE(parse({"--quiet", "--quiet=false"}).on);
}

TEST(Flags, ACountMayBeAll) {
  EXPECT_EQ(parse({}).revive, Revival());
  EXPECT_EQ(parse({"--revive", "0"}).revive, Revival::up_to(0));
  EXPECT_EQ(parse({"--revive", "all"}).revive, Revival::all());
  EXPECT_EQ(parse({"--revive", "auto"}).revive, Revival::automatic());
}

TEST(Flags, AStreamHasSinksAndAWindow) {
  EXPECT_FALSE(parse({}).stream);
  const auto both = parse({"--stream", "window=100,sinks=0"}).stream;
  ASSERT_TRUE(both);
  EXPECT_EQ(both->sinks, 0U);
  EXPECT_EQ(both->window, 100U);
  const auto one = parse({"--stream=sinks=8"}).stream;
  ASSERT_TRUE(one);
  EXPECT_EQ(one->sinks, 8U);
  EXPECT_EQ(one->window, StreamOptions().window);
  for (const char* wrong : {"", "4,100", "sinks", "sinks=", "sinks=-1", "sinks=1,sinks=2", "window=0",
                            "width=3", "sinks=4,window=10,", "window=1e3", "window=99999999999"}) {
    const Parsed parsed = parse({std::string("--stream=") + wrong});
    EXPECT_EQ(parsed.exit_code, kExitUsage) << wrong;
    EXPECT_THAT(parsed.err, HasSubstr("--stream")) << wrong;
  }
}

TEST(Flags, LastTokensMayBeAllOrNone) {
  EXPECT_EQ(parse({}).last_n, 64);
  EXPECT_EQ(parse({"--last-n", "-1"}).last_n, -1);
  EXPECT_EQ(parse({"--last-n=0"}).last_n, 0);
  EXPECT_EQ(parse({"--last-n", "101"}).exit_code, kExitUsage);
  EXPECT_EQ(parse({"--last-n", "-2"}).exit_code, kExitUsage);
}

TEST(Flags, BreakersTakeThePlaceOfWhatThereIs) {
  EXPECT_EQ(parse({}).breakers, std::vector<std::string>{":"});
  EXPECT_EQ(parse({"--breaker", "\\n", "--breaker", "a\\tb\\\\n\\q\\"}).breakers,
            (std::vector<std::string>{"\n", "a\tb\\n\\q\\"}));
  EXPECT_TRUE(parse({"--breaker", "none"}).breakers.empty());
}

TEST(Flags, BiasesAreATokenIdAndANumberWithItsSign) {
  const Parsed parsed = parse({"--logit-bias", "15043+1.5", "--logit-bias=7-100", "--logit-bias", "0-inf"});
  ASSERT_EQ(parsed.biases.size(), 3U) << parsed.err;
  EXPECT_EQ(parsed.biases[0].id, 15043);
  EXPECT_FLOAT_EQ(parsed.biases[0].bias, 1.5F);
  EXPECT_FLOAT_EQ(parsed.biases[1].bias, -100);
  EXPECT_EQ(parsed.biases[2].bias, -std::numeric_limits<float>::infinity());
  for (const char* wrong : {"", "7", "+1", "7+", "7+x", "7+inf", "7+nan", "-7+1", "7--1", "7+-1", "7 +1",
                            "word+1", "2147483648+1", "7=1", "7+1e99"}) {
    EXPECT_FALSE(parse_bias(wrong)) << wrong;
  }
  EXPECT_THAT(
      parse({"--logit-bias", "word"}).err,
      HasSubstr("--logit-bias takes a token id and what is added, such as 15043+1 or 15043-inf, not 'word'"));
}

TEST(Flags, TheVariableStandsInForTheFlag) {
  setenv("LAZYFILL_MAX_TOKENS", "42", 1);
  EXPECT_EQ(parse({}).count, 42U);
  EXPECT_EQ(parse({"-n", "3"}).count, 3U);
  setenv("LAZYFILL_MAX_TOKENS", "many", 1);
  EXPECT_THAT(parse({}).err, HasSubstr("not 'many' (from the variable LAZYFILL_MAX_TOKENS)"));
  EXPECT_EQ(parse({"-n", "3"}).exit_code, std::nullopt);
  EXPECT_THAT(parse({"-n", "some"}).err, Not(HasSubstr("LAZYFILL_MAX_TOKENS")));
  unsetenv("LAZYFILL_MAX_TOKENS");
  setenv("LAZYFILL_QUIET", "perhaps", 1);
  EXPECT_THAT(parse({}).err, HasSubstr("--quiet takes no value but true or false, not 'perhaps' (from"));
  unsetenv("LAZYFILL_QUIET");
}

TEST(Flags, WrongUsageIsOneSentenceAndAHint) {
  struct Case {
    std::vector<std::string> args;
    std::string sentence;
  };
  const std::vector<Case> cases = {
      {{"--max-token", "3"}, "unknown flag '--max-token'; did you mean --max-tokens?"},
      {{"-n", "0"}, "--max-tokens takes a whole number from 1 to 100, not '0'"},
      {{"-n", "1e3"}, "not '1e3'"},
      {{"-n", "-1"}, "not '-1'"},
      {{"-n", "99999999999999999999"}, "takes a whole number"},
      {{"-n"}, "needs a value"},
      {{"--temp", "nan"}, "--temp takes a number from 0 to 2, not 'nan'"},
      {{"--lengths", "1,,2"}, "--lengths takes a whole number"},
      {{"--revive", "most"}, "--revive takes a whole number up to 100 or all or auto, not 'most'"},
      {{"--revive", "101"}, "--revive takes a whole number up to 100 or all or auto, not '101'"},
      {{"--policy", "best"}, "--policy is one of lazy, random, not 'best'"},
      {{"word"}, "unexpected argument 'word'"},
      {{"--quiet=perhaps"}, "--quiet takes no value but true or false, not 'perhaps'"},
  };
  for (const Case& wrong : cases) {
    const Parsed parsed = parse(wrong.args);
    EXPECT_EQ(parsed.exit_code, kExitUsage) << wrong.sentence;
    EXPECT_THAT(parsed.err, HasSubstr(wrong.sentence));
    EXPECT_THAT(parsed.err, HasSubstr("Try 'lazyfill try --help'."));
    EXPECT_EQ(parsed.out, "");
  }
}

TEST(Flags, HelpShowsExamplesFirst) {
  const Parsed parsed = parse({"--help"});
  EXPECT_EQ(parsed.exit_code, kExitDone);
  EXPECT_LT(parsed.out.find("lazyfill try -n 3"), parsed.out.find("--max-tokens"));
  EXPECT_THAT(parsed.out, HasSubstr("LAZYFILL_SOME_FLAG"));
}

TEST(Nearest, OffersOnlyWhatIsNear) {
  EXPECT_EQ(nearest("tokenise", {"run", "tokenize"}), "tokenize");
  EXPECT_EQ(nearest("serve", {"run", "chat"}), std::nullopt);
  EXPECT_EQ(nearest(std::string(100'000, 'x'), {"run"}), std::nullopt);
}

}  // namespace
}  // namespace lazyfill::cli
