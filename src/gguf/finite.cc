#include "gguf/finite.h"

#include <array>

#include "base/half.h"

namespace lazyfill::gguf {
namespace {

// Where the fp16 numbers of a block are; the same place twice where there is one.
struct Halves {
  TensorType type;
  std::array<size_t, 2> at;
};
constexpr Halves kHalves[] = {
    {TensorType::kQ4_0, {0, 0}},     {TensorType::kQ4_1, {0, 2}},    {TensorType::kQ5_0, {0, 0}},
    {TensorType::kQ5_1, {0, 2}},     {TensorType::kQ8_0, {0, 0}},    {TensorType::kQ2_K, {80, 82}},
    {TensorType::kQ3_K, {108, 108}}, {TensorType::kQ4_K, {0, 2}},    {TensorType::kQ5_K, {0, 2}},
    {TensorType::kQ6_K, {208, 208}}, {TensorType::kIQ4_NL, {0, 0}},  {TensorType::kIQ4_XS, {0, 0}},
    {TensorType::kTQ1_0, {52, 52}},  {TensorType::kTQ2_0, {64, 64}},
};

// No early end inside: so the compiler makes vectors of it.
template <class T>
bool all_finite(std::span<const std::byte> numbers, T exponent) {
  bool found = false;
  for (size_t i = 0; i + sizeof(T) <= numbers.size(); i += sizeof(T)) {
    found |= (load_unaligned<T>(numbers.data() + i) & exponent) == exponent;
  }
  return !found;
}

bool is_finite_half(const std::byte* half) {
  return (load_unaligned<uint16_t>(half) & 0x7c00U) != 0x7c00U;
}

bool scales_are_finite(TensorType type, std::span<const std::byte> blocks) {
  const size_t block_bytes = traits_of(type)->block_bytes;
  for (const Halves& halves : kHalves) {
    if (halves.type != type) continue;
    bool finite = true;
    for (size_t begin = 0; begin + block_bytes <= blocks.size(); begin += block_bytes) {
      const std::byte* block = blocks.data() + begin;
      finite = finite && is_finite_half(block + halves.at[0]) && is_finite_half(block + halves.at[1]);
    }
    return finite;
  }
  return true;
}

// Exponents of 2 that are no number, or too large for fp32 with the largest code.
bool exponents_are_finite(std::span<const std::byte> blocks) {
  constexpr size_t kBlockBytes = 17;
  bool finite = true;
  for (size_t begin = 0; begin + kBlockBytes <= blocks.size(); begin += kBlockBytes) {
    finite = finite && std::to_integer<int>(blocks[begin]) < 252;
  }
  return finite;
}

bool are_finite(TensorType type, std::span<const std::byte> blocks) {
  switch (type) {
    case TensorType::kF32:
      return all_finite<uint32_t>(blocks, 0x7f800000U);
    case TensorType::kF16:
      return all_finite<uint16_t>(blocks, 0x7c00U);
    case TensorType::kBF16:
      return all_finite<uint16_t>(blocks, 0x7f80U);
    case TensorType::kMXFP4:
      return exponents_are_finite(blocks);
    default:
      return scales_are_finite(type, blocks);
  }
}

}  // namespace

Result<void> check_finite(TensorType type, std::span<const std::byte> blocks) {
  if (are_finite(type, blocks)) return {};
  return fail(ErrorCode::kInvalidFile,
              "holds a number that is not finite; the file is damaged or was made wrongly");
}

}  // namespace lazyfill::gguf
