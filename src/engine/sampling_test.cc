#include "engine/sampling.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>

namespace lazyfill {
namespace {

const std::vector<float> kLogits = {std::log(0.1F), std::log(0.4F), std::log(0.2F), std::log(0.3F)};

std::map<int32_t, double> frequencies(const SamplingOptions& options) {
  std::mt19937_64 random(1);
  std::map<int32_t, double> seen;
  for (int i = 0; i < 20000; ++i) seen[sample(kLogits, options, random)] += 1.0 / 20000;
  return seen;
}

TEST(TokenLogprobs, AreNormalisedAndSorted) {
  const auto [chosen, top] = token_logprobs(kLogits, kLogits.size(), 0, 3);
  EXPECT_EQ(chosen.id, 0);
  EXPECT_NEAR(chosen.logprob, std::log(0.1), 1e-6);
  ASSERT_EQ(top.size(), 3U);
  EXPECT_EQ(top[0].id, 1);
  EXPECT_NEAR(top[0].logprob, std::log(0.4), 1e-6);
  EXPECT_EQ(top[1].id, 3);
  EXPECT_EQ(top[2].id, 2);
  EXPECT_EQ(token_logprobs(kLogits, kLogits.size(), 0, 10).top.size(), 4U);
  EXPECT_TRUE(token_logprobs(kLogits, kLogits.size(), 0, 0).top.empty());
}

// The second row is the most probable one, and no token has it or the two behind it.
TEST(TokenLogprobs, RowsWithoutATokenCountAndAreNotThere) {
  const auto [chosen, top] = token_logprobs(kLogits, 1, 0, 3);
  ASSERT_EQ(top.size(), 1U);
  EXPECT_EQ(top[0].id, 0);
  EXPECT_NEAR(top[0].logprob, std::log(0.1), 1e-6);
  EXPECT_EQ(chosen.logprob, top[0].logprob);
}

TEST(Sample, TemperatureZeroIsGreedyAndPrefersTheLowerId) {
  std::mt19937_64 random(1);
  EXPECT_EQ(sample(kLogits, {.temperature = 0}, random), 1);
  const std::vector<float> equal = {2, 5, 5, 1};
  EXPECT_EQ(sample(equal, {.temperature = 0}, random), 1);
}

TEST(Sample, DrawsByProbability) {
  const auto seen = frequencies({.temperature = 1, .top_k = 0, .top_p = 1, .min_p = 0});
  EXPECT_NEAR(seen.at(0), 0.1, 0.02);
  EXPECT_NEAR(seen.at(1), 0.4, 0.02);
  EXPECT_NEAR(seen.at(3), 0.3, 0.02);
}

TEST(Sample, TopKTopPAndMinPCut) {
  EXPECT_EQ(frequencies({.temperature = 1, .top_k = 2, .top_p = 1, .min_p = 0}).size(), 2U);
  EXPECT_EQ(frequencies({.temperature = 1, .top_k = 0, .top_p = 0.65F, .min_p = 0}).size(), 2U);
  EXPECT_EQ(frequencies({.temperature = 1, .top_k = 0, .top_p = 1, .min_p = 0.45F}).size(), 3U);
  EXPECT_EQ(frequencies({.temperature = 1, .top_k = 1, .top_p = 1, .min_p = 0}).size(), 1U);
  EXPECT_EQ(frequencies({.temperature = 1, .top_k = 0, .top_p = 0, .min_p = 1}).size(), 1U);
}

TEST(Sample, TheSameSeedDrawsTheSame) {
  std::mt19937_64 a(7);
  std::mt19937_64 b(7);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(sample(kLogits, {}, a), sample(kLogits, {}, b));
}

}  // namespace
}  // namespace lazyfill
