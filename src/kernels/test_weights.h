// Random weight matrices of every type, for tests and benchmarks: blocks as a file could hold them.
#pragma once

#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

#include "base/half.h"
#include "kernels/kernels.h"

namespace lazyfill {

class TestWeights {
 public:
  TestWeights(gguf::TensorType type, size_t n_out, size_t n_in, std::mt19937& random) {
    const auto traits = *gguf::traits_of(type);
    const size_t n_blocks = n_out * (n_in / traits.block_elements);
    bytes_.resize(n_blocks * traits.block_bytes);
    for (auto& byte : bytes_) byte = static_cast<std::byte>(random());
    for (size_t block = 0; block < n_blocks; ++block) {
      set_floats(type, bytes_.data() + block * traits.block_bytes, random);
    }
    raw_ = {type, bytes_.data(), n_out, n_in};
  }
  TestWeights(const TestWeights&) = delete;
  TestWeights& operator=(const TestWeights&) = delete;

  const RawMatrix& raw() const { return raw_; }

 private:
  // The floats of a block to values that a model could have; random bits would be infinities as well.
  static void set_floats(gguf::TensorType type, std::byte* block, std::mt19937& random) {
    using Type = gguf::TensorType;
    std::uniform_real_distribution<float> around_one(0.5F, 1.5F);
    const auto put_half = [&](size_t at, float value) {
      const uint16_t half = float_to_half(value * around_one(random));
      std::memcpy(block + at, &half, 2);
    };
    const float value = std::normal_distribution<float>()(random) * 0.05F;
    const uint16_t upper = float_to_bf16(value);
    switch (type) {
      case Type::kF32:
        std::memcpy(block, &value, 4);
        break;
      case Type::kBF16:
        std::memcpy(block, &upper, 2);
        break;
      case Type::kF16:
        put_half(0, value);
        break;
      case Type::kQ4_1:
      case Type::kQ5_1:
        put_half(0, 0.01F);
        put_half(2, type == Type::kQ4_1 ? -0.07F : -0.15F);
        break;
      case Type::kQ4_K:
      case Type::kQ5_K:
        put_half(0, 0.0005F);
        put_half(2, 0.003F);
        break;
      case Type::kQ6_K:
        put_half(208, 0.0001F);
        break;
      case Type::kQ2_K:
        put_half(80, 0.002F);
        put_half(82, 0.003F);
        break;
      case Type::kQ3_K:
        put_half(108, 0.0005F);
        break;
      case Type::kIQ4_NL:
        put_half(0, 0.0005F);
        break;
      case Type::kIQ4_XS:
        put_half(0, 0.00003F);
        break;
      case Type::kMXFP4:
        block[0] = static_cast<std::byte>(118 + random() % 5);
        break;
      case Type::kTQ1_0:
        put_half(52, 0.04F);
        break;
      case Type::kTQ2_0:
        put_half(64, 0.04F);
        break;
      default:
        put_half(0, 0.01F);
    }
  }

  std::vector<std::byte> bytes_;
  RawMatrix raw_;
};

}  // namespace lazyfill
