#include "cli/fidelity.h"

#include <gtest/gtest.h>

#include <cmath>

namespace lazyfill::cli {
namespace {

TEST(LogSoftmax, SumsToOneAndSurvivesLargeLogits) {
  const std::vector<float> logits = {1000, 1001, 998};
  double sum = 0;
  for (float value : log_softmax(logits)) sum += std::exp(static_cast<double>(value));
  EXPECT_NEAR(sum, 1, 1e-4);  // a float logarithm of 1001 - 1001 has 2^-14 left
  const std::vector<float> even = {3, 3};
  EXPECT_NEAR(log_softmax(even)[0], -std::log(2), 1e-6);
}

TEST(KlDivergence, OfKnownDistributions) {
  const auto logs = [](std::vector<float> p) {
    for (float& value : p) value = std::log(value);
    return p;
  };
  EXPECT_EQ(kl_divergence(logs({.5F, .5F}), logs({.5F, .5F})), 0);
  EXPECT_NEAR(kl_divergence(logs({.5F, .5F}), logs({.25F, .75F})), .5 * std::log(4.0 / 3), 1e-6);
  EXPECT_NEAR(kl_divergence(logs({.9F, .1F}), logs({.1F, .9F})), .8 * std::log(9), 1e-6);
}

}  // namespace
}  // namespace lazyfill::cli
