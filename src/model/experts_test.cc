#include "model/experts.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace lazyfill {
namespace {

ModelConfig config_of(size_t n_experts, size_t n_used) {
  ModelConfig config;
  config.n_experts = n_experts;
  config.n_experts_used = n_used;
  return config;
}

TEST(Route, SortsByExpertThenByRow) {
  const float logits[] = {0, 3, 1, 2,   //
                          9, 0, 0, 8,   //
                          1, 2, 4, 3};  // rows choose {1, 3}, {0, 3}, {2, 3}
  Routing routing;
  route(config_of(4, 2), logits, 3, routing);
  EXPECT_EQ(routing.begin, (std::vector<uint32_t>{0, 1, 2, 3, 6}));
  EXPECT_EQ(routing.rows, (std::vector<uint32_t>{1, 0, 2, 0, 1, 2}));
  const float larger = 1 / (1 + std::exp(-1.0F));  // of two logits that lie 1 apart
  const float expected[] = {larger, larger, larger, 1 - larger, 1 - larger, 1 - larger};
  for (size_t i = 0; i < 6; ++i) EXPECT_NEAR(routing.weights[i], expected[i], 1e-6F);
}

TEST(Route, WeightsOfAllExpertsAndScale) {
  ModelConfig config = config_of(3, 1);
  config.normalize_expert_weights = false;
  config.expert_weight_scale = 2.5F;
  const float logits[] = {0, std::log(2.0F), 0};
  Routing routing;
  route(config, logits, 1, routing);
  EXPECT_NEAR(routing.weights[0], 2.5F * 0.5F, 1e-6F);
  EXPECT_EQ(routing.begin, (std::vector<uint32_t>{0, 0, 1, 1}));
}

TEST(Route, OfEqualLogitsTheFirst) {
  const float logits[] = {1, 1, 1, 1};
  Routing routing;
  route(config_of(4, 2), logits, 1, routing);
  EXPECT_EQ(routing.begin, (std::vector<uint32_t>{0, 1, 2, 2, 2}));
}

TEST(Route, EveryExpertForEveryRowAndLargeLogits) {
  const float logits[] = {1e4F, -1e4F, 0};
  Routing routing;
  route(config_of(3, 3), logits, 1, routing);
  EXPECT_EQ(routing.begin, (std::vector<uint32_t>{0, 1, 2, 3}));
  EXPECT_EQ(routing.weights, (std::vector<float>{1, 0, 0}));
}

// From a damaged file: the answer is worthless, but it comes.
TEST(Route, NotANumberChoosesDistinctExperts) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float logits[] = {nan, nan, nan, 1};
  Routing routing;
  route(config_of(4, 3), logits, 1, routing);
  for (size_t e = 0; e < 4; ++e) EXPECT_LE(routing.begin[e + 1] - routing.begin[e], 1U);
  EXPECT_EQ(routing.begin[4], 3U);
}

}  // namespace
}  // namespace lazyfill
