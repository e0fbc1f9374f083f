// The element types of GGUF tensors: how many elements make a block and how many bytes it takes.
// Source: the GGUF specification and ggml's type numbers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "lazyfill/error.h"

namespace lazyfill::gguf {

enum class TensorType : uint32_t {
  kF32 = 0,
  kF16 = 1,
  kQ4_0 = 2,
  kQ4_1 = 3,
  kQ5_0 = 6,
  kQ5_1 = 7,
  kQ8_0 = 8,
  kQ8_1 = 9,
  kQ2_K = 10,
  kQ3_K = 11,
  kQ4_K = 12,
  kQ5_K = 13,
  kQ6_K = 14,
  kQ8_K = 15,
  kIQ2_XXS = 16,
  kIQ2_XS = 17,
  kIQ3_XXS = 18,
  kIQ1_S = 19,
  kIQ4_NL = 20,
  kIQ3_S = 21,
  kIQ2_S = 22,
  kIQ4_XS = 23,
  kI8 = 24,
  kI16 = 25,
  kI32 = 26,
  kI64 = 27,
  kF64 = 28,
  kIQ1_M = 29,
  kBF16 = 30,
  kTQ1_0 = 34,
  kTQ2_0 = 35,
  kMXFP4 = 39,
  kNVFP4 = 40,
  kQ1_0 = 41,
};

struct TypeTraits {
  std::string_view name;  // as the specification writes it: "Q4_1"
  size_t block_elements = 1;
  size_t block_bytes = 0;
  bool can_dequantize = false;  // known by size only, or readable by this build
};

// Empty for numbers this build does not know.
std::optional<TypeTraits> traits_of(TensorType type);

// "F32, F16, ...": the types with can_dequantize, for error sentences.
std::string readable_types();

// n elements (a whole number of blocks) at `data` to fp32. The scalar truth of every quantised kernel.
// Fails for types without can_dequantize and for a broken block.
Result<void> dequantize(TensorType type, const std::byte* data, size_t n, float* out);

}  // namespace lazyfill::gguf
