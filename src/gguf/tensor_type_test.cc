#include "gguf/tensor_type.h"

#include <gtest/gtest.h>

#include <array>
#include <vector>

#include "base/half.h"

// Blocks small enough to work out by hand; random blocks of every type are compared with the gguf Python
// package in tests/python/test_dequantize.py.
namespace lazyfill::gguf {
namespace {

class Block {
 public:
  Block& half(float value) {
    const uint16_t bits = float_to_half(value);
    return byte(bits & 0xff).byte(bits >> 8);
  }
  Block& byte(int value, size_t times = 1) {
    for (size_t i = 0; i < times; ++i) bytes_.push_back(static_cast<std::byte>(value));
    return *this;
  }
  const std::vector<std::byte>& bytes() const { return bytes_; }

 private:
  std::vector<std::byte> bytes_;
};

std::vector<float> expand(TensorType type, const Block& block) {
  const auto traits = traits_of(type);
  EXPECT_EQ(block.bytes().size(), traits->block_bytes);
  std::vector<float> values(traits->block_elements);
  const auto done = dequantize(type, block.bytes().data(), values.size(), values.data());
  EXPECT_TRUE(done) << done.error().message;
  return values;
}

TEST(Dequantize, PlainFloats) {
  EXPECT_EQ(expand(TensorType::kF16, Block().half(1.5F)), std::vector<float>{1.5F});
  EXPECT_EQ(expand(TensorType::kBF16, Block().byte(0x80).byte(0x3f)), std::vector<float>{1.0F});
  EXPECT_EQ(expand(TensorType::kF32, Block().byte(0, 2).byte(0x20).byte(0x41)), std::vector<float>{10.0F});
}

TEST(Dequantize, FourAndEightBits) {
  const auto q4_0 = expand(TensorType::kQ4_0, Block().half(0.5F).byte(0xf0).byte(0x88, 15));
  EXPECT_EQ(q4_0[0], -4.0F);  // (0 - 8) / 2
  EXPECT_EQ(q4_0[16], 3.5F);  // (15 - 8) / 2
  EXPECT_EQ(q4_0[1], 0.0F);
  const auto q4_1 = expand(TensorType::kQ4_1, Block().half(2).half(-1).byte(0x30).byte(0, 15));
  EXPECT_EQ(q4_1[0], -1.0F);
  EXPECT_EQ(q4_1[16], 5.0F);  // 2 * 3 - 1
  const auto q8_0 = expand(TensorType::kQ8_0, Block().half(0.25F).byte(0x80).byte(127, 31));
  EXPECT_EQ(q8_0[0], -32.0F);
  EXPECT_EQ(q8_0[31], 31.75F);
}

TEST(Dequantize, FiveBits) {
  // High bits of elements 0 and 17 set.
  const auto q5_0 = expand(TensorType::kQ5_0, Block().half(1).byte(1).byte(0).byte(2).byte(0).byte(0x21, 16));
  EXPECT_EQ(q5_0[0], 1.0F);     // 16 + 1 - 16
  EXPECT_EQ(q5_0[1], -15.0F);   // 1 - 16
  EXPECT_EQ(q5_0[16], -14.0F);  // 2 - 16
  EXPECT_EQ(q5_0[17], 2.0F);    // 16 + 2 - 16
  const auto q5_1 = expand(TensorType::kQ5_1, Block().half(1).half(8).byte(0xff, 4).byte(0x21, 16));
  EXPECT_EQ(q5_1[0], 25.0F);  // 17 + 8
  EXPECT_EQ(q5_1[16], 26.0F);
}

TEST(Dequantize, KBlocks) {
  // Scale 0 is 3, minimum 0 is 2; scale 7 is 0b100001 from the low nibble of byte 11 and the top of byte 3.
  const Block q4_k =
      Block().half(1).half(0.5F).byte(3).byte(0, 2).byte(0x80).byte(2).byte(0, 3).byte(0, 3).byte(1);
  const auto values = expand(TensorType::kQ4_K, Block(q4_k).byte(0x51, 128));
  EXPECT_EQ(values[0], 2.0F);      // 3 * 1 - 0.5 * 2
  EXPECT_EQ(values[32], 0.0F);     // scale 1 is 0
  EXPECT_EQ(values[255], 165.0F);  // 33 * 5
  const auto q5_k = expand(TensorType::kQ5_K, Block(q4_k).byte(0x80, 32).byte(0x51, 128));
  EXPECT_EQ(q5_k[0], 2.0F);
  EXPECT_EQ(q5_k[255], 693.0F);  // 33 * (16 + 5)

  const Block q6_k = Block().byte(0x21, 128).byte(0xc0, 64).byte(0, 14).byte(0xff).byte(2).half(0.5F);
  const auto six = expand(TensorType::kQ6_K, q6_k);
  EXPECT_EQ(six[0], 0.0F);
  EXPECT_EQ(six[224], -9.0F);  // -0.5 * (2 + 48 - 32)
  EXPECT_EQ(six[255], 18.0F);  // 1 * (2 + 48 - 32)
}

TEST(Dequantize, ErrorsNameTheType) {
  std::array<float, 256> out{};
  const std::vector<std::byte> bytes(512);
  const auto unsupported = dequantize(TensorType::kIQ1_S, bytes.data(), 256, out.data());
  ASSERT_FALSE(unsupported);
  EXPECT_EQ(unsupported.error().code, ErrorCode::kUnsupported);
  EXPECT_NE(unsupported.error().message.find("IQ1_S"), std::string::npos);
  EXPECT_FALSE(dequantize(static_cast<TensorType>(4), bytes.data(), 32, out.data()));
  EXPECT_FALSE(dequantize(TensorType::kQ8_0, bytes.data(), 33, out.data()));
}

TEST(TypeTraits, UnknownNumbersHaveNone) {
  EXPECT_FALSE(traits_of(static_cast<TensorType>(4)));  // removed from the format
  EXPECT_FALSE(traits_of(static_cast<TensorType>(0xffffffff)));
  EXPECT_EQ(traits_of(TensorType::kQ4_1)->name, "Q4_1");
  EXPECT_FALSE(traits_of(TensorType::kIQ2_XXS)->can_dequantize);
}

}  // namespace
}  // namespace lazyfill::gguf
