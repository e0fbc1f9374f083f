// Biases and penalties against what their definitions say, place by place.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "engine/sampling.h"

namespace lazyfill {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using Tokens = std::vector<int32_t>;
constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

// Token i is the i-th letter; the last two are breakers, the second one beside a letter.
const std::vector<std::string> kPieces = {"a", "b", "c", "d", "\n", "e:"};

std::vector<float> adjusted(std::vector<float> logits, const SamplingOptions& options, const Tokens& tokens,
                            size_t n_prompt = 0, const std::vector<std::string>& pieces = kPieces) {
  adjust_logits(logits, options,
                {tokens, n_prompt, [&](int32_t id) { return pieces.at(static_cast<size_t>(id)); }});
  return logits;
}

TEST(Penalties, NothingIsAdjustedUnlessItIsAskedFor) {
  EXPECT_FALSE(adjusts_logits({}));
  EXPECT_FALSE(adjusts_logits({.temperature = 0, .repeat_last_n = -1, .dry_base = 2}));
  EXPECT_TRUE(adjusts_logits({.repeat_penalty = 1.1F}));
  EXPECT_TRUE(adjusts_logits({.presence_penalty = -1}));
  EXPECT_TRUE(adjusts_logits({.frequency_penalty = 1}));
  EXPECT_TRUE(adjusts_logits({.dry_multiplier = 1}));
  EXPECT_TRUE(adjusts_logits({.logit_bias = {{0, 1}}}));
}

TEST(Penalties, EachDoesWhatItsNameSays) {
  struct Case {
    const char* what;
    SamplingOptions options;
    Tokens tokens;
    size_t n_prompt;
    std::vector<float> expected;
  };
  const std::vector<float> logits = {4, -4, 0, 2};
  const std::vector<Case> cases = {
      {"repeat: positive logits are divided, negative multiplied, once",
       {.repeat_penalty = 2},
       {0, 0, 1},
       3,
       {2, -8, 0, 2}},
      {"repeat: the last n alone", {.repeat_penalty = 2, .repeat_last_n = 1}, {0, 1, 3}, 0, {4, -4, 0, 1}},
      {"repeat: of none", {.repeat_penalty = 2, .repeat_last_n = 0}, {0, 1, 3}, 0, {4, -4, 0, 2}},
      {"repeat: of all", {.repeat_penalty = 2, .repeat_last_n = -1}, Tokens(100, 3), 0, {4, -4, 0, 1}},
      {"presence: the answer's tokens, once", {.presence_penalty = 1}, {0, 3, 1, 1}, 2, {4, -5, 0, 2}},
      {"frequency: as often as they are there",
       {.frequency_penalty = 0.5F},
       {0, 3, 1, 1, 2},
       2,
       {4, -5, -0.5F, 2}},
      {"both", {.presence_penalty = 1, .frequency_penalty = 0.5F}, {1, 1, 1}, 0, {4, -6.5F, 0, 2}},
      {"negative ones invite", {.presence_penalty = -1}, {2}, 0, {4, -4, 1, 2}},
      {"no answer yet", {.presence_penalty = 1, .frequency_penalty = 1}, {0, 1, 2}, 3, {4, -4, 0, 2}},
      {"biases add up", {.logit_bias = {{2, 1.5F}, {0, -1}, {2, 1}}}, {}, 0, {3, -4, 2.5F, 2}},
      {"a bias counts before the penalties",
       {.repeat_penalty = 2, .logit_bias = {{1, 6}}},
       {1},
       1,
       {4, 1, 0, 2}},
  };
  for (const Case& one : cases)
    EXPECT_EQ(adjusted(logits, one.options, one.tokens, one.n_prompt), one.expected) << one.what;
}

TEST(Penalties, ABannedTokenIsNeverChosen) {
  for (const float bias : {-100.0F, -kInf}) {
    const SamplingOptions options{
        .temperature = 0, .dry_multiplier = 100, .dry_base = 100, .logit_bias = {{0, bias}}};
    // Everything else is worn out.
    const auto logits =
        adjusted({9, -5, -6}, options, {1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 1, 2});
    std::mt19937_64 random(1);
    EXPECT_NE(sample(logits, options, random), 0);
    const SamplingOptions hot{.temperature = 100, .top_k = 0, .top_p = 1, .min_p = 0};
    for (int i = 0; i < 1000; ++i) ASSERT_NE(sample(logits, hot, random), 0);
  }
}

// What DRY takes from each token, by its definition: for each earlier place, how many tokens up to it are
// those at the end, none of them a breaker.
std::vector<float> dry_by_definition(const SamplingOptions& options, const Tokens& all, size_t n_tokens) {
  const auto breaks = [](int32_t id) { return id >= 4; };
  std::vector<float> logits(n_tokens, 0);
  const size_t window = options.dry_penalty_last_n < 0
                            ? all.size()
                            : std::min(all.size(), static_cast<size_t>(options.dry_penalty_last_n));
  const Tokens tokens(all.end() - static_cast<ptrdiff_t>(window), all.end());
  const size_t n = tokens.size();
  for (size_t next = 1; next < n; ++next) {
    size_t length = 0;
    while (length < next && tokens[next - 1 - length] == tokens[n - 1 - length] &&
           !breaks(tokens[n - 1 - length]))
      ++length;
    if (length < options.dry_allowed_length || breaks(tokens[next])) continue;
    const double exponent = static_cast<double>(length - options.dry_allowed_length);
    const auto penalty =
        static_cast<float>(options.dry_multiplier * std::pow(double{options.dry_base}, exponent));
    float& logit = logits[static_cast<size_t>(tokens[next])];
    logit = std::min(logit, -penalty);
  }
  return logits;
}

TEST(Dry, IsWhatItsDefinitionSays) {
  std::mt19937 random(1);
  size_t n_penalised = 0;
  for (int round = 0; round < 3000; ++round) {
    const uint32_t n_kinds = 2 + random() % 5;
    Tokens tokens(random() % 40);
    for (int32_t& token : tokens) token = static_cast<int32_t>(random() % n_kinds);
    const SamplingOptions options{
        .dry_multiplier = 0.75F,
        .dry_base = round % 7 == 0 ? 1.0F : 1.5F,
        .dry_allowed_length = 1 + random() % 3,
        .dry_penalty_last_n = round % 3 == 0 ? static_cast<int32_t>(random() % 30) : -1};
    const auto expected = dry_by_definition(options, tokens, kPieces.size());
    ASSERT_EQ(adjusted(std::vector<float>(kPieces.size(), 0), options, tokens), expected) << round;
    n_penalised += expected != std::vector<float>(kPieces.size(), 0) ? 1 : 0;
  }
  EXPECT_GT(n_penalised, 1000U);
}

TEST(Dry, BreakersAreTextsWhereverTheyLie) {
  const SamplingOptions options{
      .dry_multiplier = 1, .dry_base = 2, .dry_allowed_length = 2, .dry_sequence_breakers = {"##"}};
  // "#" twice is a breaker over two tokens; x y z, then x y: z would be the third.
  const std::vector<std::string> pieces = {"x", "y", "z", "#", "q"};
  const std::vector<float> none(5, 0);
  EXPECT_EQ(adjusted(none, options, {0, 1, 2, 4, 0, 1}, 0, pieces)[2], -1);
  EXPECT_EQ(adjusted(none, options, {3, 0, 1, 2, 4, 3, 0, 1}, 0, pieces)[2], -2);        // one "#" is none
  EXPECT_EQ(adjusted(none, options, {3, 3, 0, 1, 2, 4, 3, 3, 0, 1}, 0, pieces)[2], -1);  // and two are
  EXPECT_EQ(adjusted(none, options, {0, 3, 3, 2, 4, 0, 3, 3}, 0, pieces), none);
  SamplingOptions unbroken = options;
  for (const std::vector<std::string>& breakers : {std::vector<std::string>{}, {""}}) {
    unbroken.dry_sequence_breakers = breakers;
    EXPECT_EQ(adjusted(none, unbroken, {3, 3, 0, 1, 2, 4, 3, 3, 0, 1}, 0, pieces)[2], -4);
  }
}

TEST(Dry, ALongRepetitionStaysFinite) {
  const auto logits = adjusted({0, 0}, {.dry_multiplier = 100, .dry_base = 100}, Tokens(3000, 0));
  EXPECT_EQ(logits, (std::vector<float>{-1e30F, 0}));
}

TEST(CheckSampling, RefusesWhatIsNoNumberOrOutOfRange) {
  struct Case {
    SamplingOptions options;
    const char* sentence;
  };
  const std::vector<Case> cases = {
      {{.temperature = -1}, "temperature must be a number from 0 to 100, not -1"},
      {{.temperature = kNaN}, "temperature must be a number from 0 to 100, not"},
      {{.top_p = 1.5F}, "top_p must be a number from 0 to 1, not 1.5"},
      {{.min_p = kInf}, "min_p must be a number from 0 to 1, not inf"},
      {{.repeat_penalty = 0}, "repeat_penalty must be a number from 0.01 to 100, not 0"},
      {{.repeat_last_n = -2}, "repeat_last_n must be a number from -1 to 1e+09, not -2"},
      {{.presence_penalty = -kInf}, "presence_penalty must be a number from -100 to 100, not -inf"},
      {{.frequency_penalty = 101}, "frequency_penalty must be a number from -100 to 100, not 101"},
      {{.dry_multiplier = -0.5F}, "dry_multiplier must be a number from 0 to 100, not -0.5"},
      {{.dry_base = 0.5F}, "dry_base must be a number from 1 to 100, not 0.5"},
      {{.dry_allowed_length = 0}, "dry_allowed_length must be a number from 1 to 1e+09, not 0"},
      {{.dry_penalty_last_n = -5}, "dry_penalty_last_n must be a number from -1 to 1e+09, not -5"},
      {{.logit_bias = {{10, 1}}}, "token id 10, which does not exist; this model has ids from 0 to 9"},
      {{.logit_bias = {{-1, 1}}}, "token id -1, which does not exist"},
      {{.logit_bias = {{3, kNaN}}}, "the logit_bias of token id 3 must be a number"},
      {{.logit_bias = {{3, kInf}}}, "the logit_bias of token id 3 must be a number"},
  };
  for (const Case& one : cases) {
    const auto checked = check_sampling(one.options, 10);
    ASSERT_FALSE(checked) << one.sentence;
    EXPECT_EQ(checked.error().code, ErrorCode::kInvalidArgument);
    EXPECT_THAT(checked.error().message, HasSubstr(one.sentence));
  }
}

TEST(CheckSampling, TakesTheDefaultsAndTheEndsOfTheRanges) {
  EXPECT_TRUE(check_sampling({}, 1));
  EXPECT_TRUE(check_sampling({.temperature = 0,
                              .top_k = 0,
                              .top_p = 0,
                              .min_p = 1,
                              .repeat_penalty = 100,
                              .repeat_last_n = 0,
                              .presence_penalty = -100,
                              .frequency_penalty = 100,
                              .dry_multiplier = 100,
                              .dry_base = 1,
                              .dry_allowed_length = 1,
                              .dry_penalty_last_n = 0,
                              .logit_bias = {{0, -kInf}, {9, 100}}},
                             10));
}

TEST(CheckSampling, SomeTokenMustBeLeft) {
  EXPECT_TRUE(check_sampling({.logit_bias = {{0, -100}, {0, -kInf}}}, 2));
  EXPECT_THAT(check_sampling({.logit_bias = {{0, -100}, {1, -kInf}}}, 2).error().message,
              HasSubstr("bans every token"));
}

}  // namespace
}  // namespace lazyfill
