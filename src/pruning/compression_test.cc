#include "pruning/compression.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lazyfill {
namespace {

using testing::ElementsAre;

TEST(ChooseInformative, DropsWhatSurprisesLeast) {
  struct Case {
    std::vector<float> logprobs;
    double keep;
    std::vector<uint32_t> expected;
  };
  const Case cases[] = {
      {{}, 0.5, {}},
      {{0}, 0.5, {0}},
      {{0, -0.1F, -5, -0.2F, -4, -0.1F}, 0.5, {0, 2, 5}},  // the first and the last always
      {{0, -0.1F, -5, -0.2F, -4, -9}, 0.5, {0, 2, 5}},
      {{0, -0.1F, -5, -0.2F, -4, -9}, 1.0, {0, 1, 2, 3, 4, 5}},
      {{0, -1, -1, -1}, 0.5, {0, 3}},
      {{0, -9, -9, -9}, 0.1, {3}},
  };
  for (const Case& c : cases) EXPECT_EQ(choose_informative(c.logprobs, c.keep), c.expected) << c.keep;
}

TEST(ChooseAtRandom, IsSeededAndKeepsTheLast) {
  const auto chosen = choose_at_random(100, 0.3, 1);
  EXPECT_EQ(chosen.size(), 30U);
  EXPECT_EQ(chosen.back(), 99U);
  EXPECT_EQ(chosen, choose_at_random(100, 0.3, 1));
  EXPECT_NE(chosen, choose_at_random(100, 0.3, 2));
  EXPECT_THAT(choose_at_random(1, 0.01, 1), ElementsAre(0));
}

}  // namespace
}  // namespace lazyfill
