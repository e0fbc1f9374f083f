#include "gguf/finite.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

namespace lazyfill::gguf {
namespace {

std::vector<TensorType> readable() {
  std::vector<TensorType> types;
  for (uint32_t number = 0; number < 64; ++number) {
    const auto traits = traits_of(static_cast<TensorType>(number));
    if (traits && traits->can_dequantize) types.push_back(static_cast<TensorType>(number));
  }
  return types;
}

// Random bytes are often not finite: both answers are compared with what dequantising gives.
TEST(Finite, AgreesWithDequantisedBlocks) {
  std::mt19937 random(1);
  for (const TensorType type : readable()) {
    const auto traits = *traits_of(type);
    std::vector<std::byte> block(traits.block_bytes);
    std::vector<float> values(traits.block_elements);
    size_t n_refused = 0;
    size_t n_not_finite = 0;
    for (int i = 0; i < 3000; ++i) {
      for (std::byte& byte : block) byte = static_cast<std::byte>(random());
      // Exponents of all ones are one in 32 or rarer: put some where any type could have a number.
      if (i % 5 == 0) block[random() % block.size()] = std::byte{0x7f};
      if (type == TensorType::kF32 && i % 7 == 0) block[2] = std::byte{0xff};
      ASSERT_TRUE(dequantize(type, block.data(), values.size(), values.data()));
      bool finite = true;
      for (const float value : values) finite = finite && std::isfinite(value);
      // Codes of zero hide a scale that overflows, and minus infinity and infinity add up to no number at
      // all.
      const bool checked = check_finite(type, block).has_value();
      ASSERT_FALSE(checked && !finite) << traits.name << ": passed, but a weight is not finite";
      n_refused += checked ? 0 : 1;
      n_not_finite += finite ? 0 : 1;
    }
    // A type may have no bits that stand for anything but a number: then nothing is refused.
    EXPECT_EQ(n_refused > 0, n_not_finite > 0) << traits.name;
    EXPECT_LT(n_refused, 1500U) << traits.name;
  }
}

TEST(Finite, LargestNumbersPass) {
  const std::vector<float> values = {std::numeric_limits<float>::max(), -std::numeric_limits<float>::max(),
                                     std::numeric_limits<float>::denorm_min(), 0};
  EXPECT_TRUE(check_finite(TensorType::kF32, std::as_bytes(std::span(values))));
  EXPECT_TRUE(check_finite(TensorType::kF32, {}));
}

}  // namespace
}  // namespace lazyfill::gguf
