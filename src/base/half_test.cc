#include "base/half.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

namespace lazyfill {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

// The definition of binary16, in double: what half_to_float must give.
double half_value(uint16_t half) {
  const double sign = (half & 0x8000) != 0 ? -1 : 1;
  const int exponent = (half >> 10) & 0x1f;
  const int mantissa = half & 0x3ff;
  if (exponent == 0) return sign * std::ldexp(mantissa, -24);
  return sign * std::ldexp(1024 + mantissa, exponent - 25);
}

bool is_finite_half(uint16_t half) {
  return (half & 0x7c00) != 0x7c00;
}

TEST(Half, EveryValueConvertsAsDefinedAndComesBack) {
  for (uint32_t i = 0; i <= 0xffff; ++i) {
    const auto half = static_cast<uint16_t>(i);
    const float value = half_to_float(half);
    if (is_finite_half(half)) {
      ASSERT_EQ(static_cast<double>(value), half_value(half)) << std::hex << i;
      ASSERT_EQ(std::signbit(value), (half & 0x8000) != 0) << std::hex << i;
      ASSERT_EQ(float_to_half(value), half) << std::hex << i;
    } else if ((half & 0x3ff) == 0) {
      ASSERT_EQ(value, (half & 0x8000) != 0 ? -kInf : kInf);
      ASSERT_EQ(float_to_half(value), half);
    } else {
      ASSERT_TRUE(std::isnan(value)) << std::hex << i;
      ASSERT_TRUE(std::isnan(half_to_float(float_to_half(value)))) << std::hex << i;
    }
  }
}

// Halfway points between neighbours go to the even one, and a hair to either side goes to that side.
TEST(Half, RoundsToNearestEven) {
  for (uint16_t half = 0; half < 0x7bff; ++half) {
    const float below = half_to_float(half);
    const float above = half_to_float(half + 1);
    const float middle = (below + above) / 2;  // exact: fp32 has the bits to spare
    const uint16_t even = half % 2 == 0 ? half : half + 1;
    ASSERT_EQ(float_to_half(middle), even) << half;
    ASSERT_EQ(float_to_half(-middle), even | 0x8000) << half;
    ASSERT_EQ(float_to_half(std::nextafter(middle, 0.0F)), half) << half;
    ASSERT_EQ(float_to_half(std::nextafter(middle, kInf)), half + 1) << half;
  }
}

TEST(Half, LargeValuesBecomeInfinity) {
  EXPECT_EQ(float_to_half(65504), 0x7bff);
  EXPECT_EQ(float_to_half(std::nextafter(65520.0F, 0.0F)), 0x7bff);
  EXPECT_EQ(float_to_half(65520), 0x7c00);
  EXPECT_EQ(float_to_half(-std::numeric_limits<float>::max()), 0xfc00);
  EXPECT_EQ(float_to_half(0x1p-25F), 0);  // half of the smallest subnormal: a tie, to even
  EXPECT_EQ(float_to_half(std::numeric_limits<float>::denorm_min()), 0);
}

TEST(Bf16, EveryValueComesBack) {
  for (uint32_t i = 0; i <= 0xffff; ++i) {
    const auto bf16 = static_cast<uint16_t>(i);
    const float value = bf16_to_float(bf16);
    if (std::isnan(value)) {
      ASSERT_TRUE(std::isnan(bf16_to_float(float_to_bf16(value))));
    } else {
      ASSERT_EQ(float_to_bf16(value), bf16);
    }
  }
}

TEST(Bf16, RoundsToNearestEven) {
  std::mt19937 random(1);
  for (int i = 0; i < 100000; ++i) {
    const auto bf16 = static_cast<uint16_t>(random() % 0x7f7f);
    const auto middle = std::bit_cast<float>((static_cast<uint32_t>(bf16) << 16) | 0x8000U);
    const uint16_t even = bf16 % 2 == 0 ? bf16 : bf16 + 1;
    ASSERT_EQ(float_to_bf16(middle), even);
    ASSERT_EQ(float_to_bf16(std::nextafter(middle, 0.0F)), bf16);
    ASSERT_EQ(float_to_bf16(std::nextafter(middle, kInf)), bf16 + 1);
  }
  EXPECT_EQ(float_to_bf16(std::numeric_limits<float>::max()), 0x7f80);
}

// A signalling NaN whose upper bits are all zero must not turn into infinity.
TEST(Bf16, NanStaysNan) {
  EXPECT_TRUE(std::isnan(bf16_to_float(float_to_bf16(std::bit_cast<float>(0x7f800001U)))));
  EXPECT_TRUE(std::isnan(half_to_float(float_to_half(std::bit_cast<float>(0x7f800001U)))));
}

}  // namespace
}  // namespace lazyfill
