#include "engine/logits.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>

namespace lazyfill {
namespace {

// Of these sizes some fill whole blocks and some end within a register.
const size_t kSizes[] = {1, 2, 15, 16, 17, 255, 256, 257, 1000, 49152, 262145};

std::vector<float> random_logits(size_t n, float spread) {
  std::mt19937 random(static_cast<uint32_t>(n));
  std::normal_distribution<float> normal(0, spread);
  std::vector<float> logits(n);
  for (float& logit : logits) logit = normal(random);
  return logits;
}

TEST(Logits, LargestIsTheLargest) {
  for (size_t n : kSizes) {
    const std::vector<float> logits = random_logits(n, 5);
    EXPECT_EQ(largest(logits), *std::max_element(logits.begin(), logits.end())) << n;
  }
  EXPECT_EQ(largest(std::vector<float>{-3e38F, -2e38F}), -2e38F);
}

TEST(Logits, LogSumExpIsThatOfDoubles) {
  for (size_t n : kSizes) {
    for (float spread : {0.0F, 1.0F, 8.0F, 300.0F, 1e30F}) {
      const std::vector<float> logits = random_logits(n, spread);
      const double max = *std::max_element(logits.begin(), logits.end());
      double sum = 0;
      for (float logit : logits) sum += std::exp(logit - max);
      const double expected = max + std::log(sum);
      EXPECT_NEAR(log_sum_exp(logits), expected, 1e-6 + 1e-12 * std::abs(expected)) << n << " " << spread;
    }
  }
}

TEST(Logits, HighestAreThoseOfASort) {
  for (size_t n : kSizes) {
    std::vector<float> logits = random_logits(n, 3);
    for (float& logit : logits) logit = std::round(logit * 4) / 4;  // so that many are equal
    std::vector<int32_t> sorted(n);
    std::iota(sorted.begin(), sorted.end(), 0);
    std::stable_sort(sorted.begin(), sorted.end(), [&](int32_t a, int32_t b) {
      return logits[static_cast<size_t>(a)] > logits[static_cast<size_t>(b)];
    });
    for (size_t count : {size_t{0}, size_t{1}, size_t{5}, size_t{40}, n, n + 1}) {
      const size_t expected = std::min(count, n);
      EXPECT_EQ(highest(logits, count), std::vector<int32_t>(sorted.begin(), sorted.begin() + expected))
          << n << " " << count;
    }
  }
}

}  // namespace
TEST(Logits, FindsWhatIsNotFinite) {
  std::vector<float> logits(1000, 1e38F);
  EXPECT_TRUE(all_finite(logits));
  EXPECT_TRUE(all_finite({}));
  for (const float broken : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
                             -std::numeric_limits<float>::infinity()}) {
    for (const size_t at : {0, 17, 999}) {
      std::vector<float> damaged = logits;
      damaged[at] = broken;
      EXPECT_FALSE(all_finite(damaged));
    }
  }
}

}  // namespace lazyfill
