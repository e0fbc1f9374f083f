#include "model/weights.h"

#include <gtest/gtest.h>

#include <string>

namespace lazyfill {
namespace {

// A letter a layer: W where all products have wide activations, q where queries, keys and values have, .
// where none.
std::string pattern(ActivationBits bits, size_t n_layers) {
  std::string pattern;
  for (size_t layer = 0; layer < n_layers; ++layer) {
    const PreciseProducts precise = precise_products(bits, layer, n_layers);
    pattern += precise.qkv ? (precise.rest ? 'W' : 'q') : (precise.rest ? '?' : '.');
  }
  return pattern;
}

TEST(PreciseProducts, SixteenBitsInThreeQuartersOfTheLayersAndInTheLast) {
  EXPECT_EQ(pattern(ActivationBits::k16, 30), "WWWWWWWWWWWWWWWWWWWWWWW......W");
  EXPECT_EQ(pattern(ActivationBits::k16, 18), "WWWWWWWWWWWWWW...W");
  EXPECT_EQ(pattern(ActivationBits::k16, 4), "WWWW");
  EXPECT_EQ(pattern(ActivationBits::k16, 1), "W");
}

TEST(PreciseProducts, EightBitsButForQueriesKeysAndValues) {
  EXPECT_EQ(pattern(ActivationBits::k8, 30), "qqqqqqqqqqqqqqqqqqqqqqq......W");
  EXPECT_EQ(pattern(ActivationBits::k8, 18), "qqqqqqqqqqqqqq...W");
  EXPECT_EQ(pattern(ActivationBits::k8, 4), "qqqW");
  EXPECT_EQ(pattern(ActivationBits::k8, 1), "W");
}

}  // namespace
}  // namespace lazyfill
