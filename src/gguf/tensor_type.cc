#include "gguf/tensor_type.h"

#include <algorithm>
#include <array>
#include <string>

#include "base/half.h"
#include "gguf/low_bit_blocks.h"

// Each function below expands one block as ggml defines it; `block` points to the block's first byte. All
// arithmetic is fp32 in the order that the format's definition gives, so other implementations agree bit for
// bit.
namespace lazyfill::gguf {
namespace {

using BlockFunction = void (*)(const uint8_t* block, float* out);

constexpr size_t kSmallBlock = 32;   // elements of the plain types
constexpr size_t kSuperBlock = 256;  // elements of the K types
constexpr size_t kSubBlock = 32;     // elements of Q4_K and Q5_K that share a scale and a minimum

int low_nibble(uint8_t byte) {
  return byte & 0xf;
}
int high_nibble(uint8_t byte) {
  return byte >> 4;
}

void expand_f32(const uint8_t* block, float* out) {
  *out = load_unaligned<float>(block);
}
void expand_f16(const uint8_t* block, float* out) {
  *out = load_half(block);
}
void expand_bf16(const uint8_t* block, float* out) {
  *out = bf16_to_float(load_unaligned<uint16_t>(block));
}

// fp16 scale; 16 bytes of nibbles: the low ones are elements 0-15, the high ones 16-31.
void expand_q4_0(const uint8_t* block, float* out) {
  const float scale = load_half(block);
  const uint8_t* nibbles = block + 2;
  for (size_t i = 0; i < kSmallBlock / 2; ++i) {
    out[i] = scale * static_cast<float>(low_nibble(nibbles[i]) - 8);
    out[i + kSmallBlock / 2] = scale * static_cast<float>(high_nibble(nibbles[i]) - 8);
  }
}

// fp16 scale, fp16 minimum, nibbles as in Q4_0.
void expand_q4_1(const uint8_t* block, float* out) {
  const float scale = load_half(block);
  const float minimum = load_half(block + 2);
  const uint8_t* nibbles = block + 4;
  for (size_t i = 0; i < kSmallBlock / 2; ++i) {
    out[i] = scale * static_cast<float>(low_nibble(nibbles[i])) + minimum;
    out[i + kSmallBlock / 2] = scale * static_cast<float>(high_nibble(nibbles[i])) + minimum;
  }
}

// Nibbles as in Q4_0, with the fifth bit of element i in bit i of `high_bits`.
int five_bits(const uint8_t* nibbles, uint32_t high_bits, size_t i) {
  const size_t half = kSmallBlock / 2;
  const int low = i < half ? low_nibble(nibbles[i]) : high_nibble(nibbles[i - half]);
  return low | static_cast<int>(((high_bits >> i) & 1U) << 4);
}

// fp16 scale, 32 high bits, nibbles.
void expand_q5_0(const uint8_t* block, float* out) {
  const float scale = load_half(block);
  const auto high_bits = load_unaligned<uint32_t>(block + 2);
  for (size_t i = 0; i < kSmallBlock; ++i) {
    out[i] = scale * static_cast<float>(five_bits(block + 6, high_bits, i) - 16);
  }
}

// fp16 scale, fp16 minimum, 32 high bits, nibbles.
void expand_q5_1(const uint8_t* block, float* out) {
  const float scale = load_half(block);
  const float minimum = load_half(block + 2);
  const auto high_bits = load_unaligned<uint32_t>(block + 4);
  for (size_t i = 0; i < kSmallBlock; ++i) {
    out[i] = scale * static_cast<float>(five_bits(block + 8, high_bits, i)) + minimum;
  }
}

// fp16 scale, 32 signed bytes.
void expand_q8_0(const uint8_t* block, float* out) {
  const float scale = load_half(block);
  for (size_t i = 0; i < kSmallBlock; ++i) {
    out[i] = scale * static_cast<float>(static_cast<int8_t>(block[2 + i]));
  }
}

struct ScaleAndMinimum {
  int scale;
  int minimum;
};

// The eight 6-bit scales and eight 6-bit minima of Q4_K and Q5_K lie in 12 bytes: bytes 0-3 hold scales 0-3
// and bytes 4-7 minima 0-3 in their low six bits; bytes 8-11 hold the low nibbles of scales and minima 4-7,
// whose upper two bits are the top bits of bytes 0-3 and 4-7.
ScaleAndMinimum packed_scale(const uint8_t* packed, size_t sub_block) {
  if (sub_block < 4) return {packed[sub_block] & 63, packed[sub_block + 4] & 63};
  const uint8_t low = packed[sub_block + 4];
  return {low_nibble(low) | ((packed[sub_block - 4] >> 6) << 4),
          high_nibble(low) | ((packed[sub_block] >> 6) << 4)};
}

// Sub-blocks 2j and 2j+1 are the low and the high nibbles of the same 32 bytes.
int sub_block_nibble(const uint8_t* nibbles, size_t sub_block, size_t i) {
  const uint8_t byte = nibbles[sub_block / 2 * kSubBlock + i];
  return sub_block % 2 == 0 ? low_nibble(byte) : high_nibble(byte);
}

// fp16 scale, fp16 scale of the minima, 12 bytes of scales, 128 bytes of nibbles.
void expand_q4_k(const uint8_t* block, float* out) {
  const float block_scale = load_half(block);
  const float block_minimum = load_half(block + 2);
  for (size_t sub_block = 0; sub_block < kSuperBlock / kSubBlock; ++sub_block) {
    const ScaleAndMinimum packed = packed_scale(block + 4, sub_block);
    const float scale = block_scale * static_cast<float>(packed.scale);
    const float minimum = block_minimum * static_cast<float>(packed.minimum);
    for (size_t i = 0; i < kSubBlock; ++i) {
      *out++ = scale * static_cast<float>(sub_block_nibble(block + 16, sub_block, i)) - minimum;
    }
  }
}

// As Q4_K with 32 bytes of fifth bits before the nibbles: bit s of byte i belongs to element i of sub-block
// s.
void expand_q5_k(const uint8_t* block, float* out) {
  const float block_scale = load_half(block);
  const float block_minimum = load_half(block + 2);
  const uint8_t* high_bits = block + 16;
  for (size_t sub_block = 0; sub_block < kSuperBlock / kSubBlock; ++sub_block) {
    const ScaleAndMinimum packed = packed_scale(block + 4, sub_block);
    const float scale = block_scale * static_cast<float>(packed.scale);
    const float minimum = block_minimum * static_cast<float>(packed.minimum);
    for (size_t i = 0; i < kSubBlock; ++i) {
      const int high = ((high_bits[i] >> sub_block) & 1) << 4;
      *out++ = scale * static_cast<float>(sub_block_nibble(block + 48, sub_block, i) | high) - minimum;
    }
  }
}

// 128 bytes of low nibbles, 64 bytes of upper bit pairs, 16 signed scales (one per 16 elements), fp16 scale.
// The block is two halves of four quarters of 32 elements; quarters 0 and 2 share nibble bytes, as 1 and 3
// do, and all four share the bytes of bit pairs.
void expand_q6_k(const uint8_t* block, float* out) {
  const float block_scale = load_half(block + 208);
  for (size_t i = 0; i < kSuperBlock; ++i) {
    const size_t half = i / 128;
    const size_t quarter = i % 128 / 32;
    const size_t element = i % 32;
    const uint8_t nibbles = block[half * 64 + quarter % 2 * 32 + element];
    const int low = quarter < 2 ? low_nibble(nibbles) : high_nibble(nibbles);
    const int high = ((block[128 + half * 32 + element] >> (2 * quarter)) & 3) << 4;
    const float scale = block_scale * static_cast<float>(static_cast<int8_t>(block[192 + i / 16]));
    out[i] = scale * static_cast<float>((low | high) - 32);
  }
}

struct TypeEntry {
  TensorType type;
  std::string_view name;
  size_t block_elements;
  size_t block_bytes;
  BlockFunction expand;  // null: known by its size only
};

constexpr std::array kTypes = {
    TypeEntry{TensorType::kF32, "F32", 1, 4, expand_f32},
    TypeEntry{TensorType::kF16, "F16", 1, 2, expand_f16},
    TypeEntry{TensorType::kBF16, "BF16", 1, 2, expand_bf16},
    TypeEntry{TensorType::kQ4_0, "Q4_0", kSmallBlock, 18, expand_q4_0},
    TypeEntry{TensorType::kQ4_1, "Q4_1", kSmallBlock, 20, expand_q4_1},
    TypeEntry{TensorType::kQ5_0, "Q5_0", kSmallBlock, 22, expand_q5_0},
    TypeEntry{TensorType::kQ5_1, "Q5_1", kSmallBlock, 24, expand_q5_1},
    TypeEntry{TensorType::kQ8_0, "Q8_0", kSmallBlock, 34, expand_q8_0},
    TypeEntry{TensorType::kQ4_K, "Q4_K", kSuperBlock, 144, expand_q4_k},
    TypeEntry{TensorType::kQ5_K, "Q5_K", kSuperBlock, 176, expand_q5_k},
    TypeEntry{TensorType::kQ6_K, "Q6_K", kSuperBlock, 210, expand_q6_k},
    TypeEntry{TensorType::kQ8_1, "Q8_1", kSmallBlock, 36, nullptr},
    TypeEntry{TensorType::kQ2_K, "Q2_K", kSuperBlock, 84, expand_q2_k},
    TypeEntry{TensorType::kQ3_K, "Q3_K", kSuperBlock, 110, expand_q3_k},
    TypeEntry{TensorType::kQ8_K, "Q8_K", kSuperBlock, 292, nullptr},
    TypeEntry{TensorType::kIQ2_XXS, "IQ2_XXS", kSuperBlock, 66, nullptr},
    TypeEntry{TensorType::kIQ2_XS, "IQ2_XS", kSuperBlock, 74, nullptr},
    TypeEntry{TensorType::kIQ3_XXS, "IQ3_XXS", kSuperBlock, 98, nullptr},
    TypeEntry{TensorType::kIQ1_S, "IQ1_S", kSuperBlock, 50, nullptr},
    TypeEntry{TensorType::kIQ4_NL, "IQ4_NL", kSmallBlock, 18, expand_iq4_nl},
    TypeEntry{TensorType::kIQ3_S, "IQ3_S", kSuperBlock, 110, nullptr},
    TypeEntry{TensorType::kIQ2_S, "IQ2_S", kSuperBlock, 82, nullptr},
    TypeEntry{TensorType::kIQ4_XS, "IQ4_XS", kSuperBlock, 136, expand_iq4_xs},
    TypeEntry{TensorType::kI8, "I8", 1, 1, nullptr},
    TypeEntry{TensorType::kI16, "I16", 1, 2, nullptr},
    TypeEntry{TensorType::kI32, "I32", 1, 4, nullptr},
    TypeEntry{TensorType::kI64, "I64", 1, 8, nullptr},
    TypeEntry{TensorType::kF64, "F64", 1, 8, nullptr},
    TypeEntry{TensorType::kIQ1_M, "IQ1_M", kSuperBlock, 56, nullptr},
    TypeEntry{TensorType::kTQ1_0, "TQ1_0", kSuperBlock, 54, expand_tq1_0},
    TypeEntry{TensorType::kTQ2_0, "TQ2_0", kSuperBlock, 66, expand_tq2_0},
    TypeEntry{TensorType::kMXFP4, "MXFP4", kSmallBlock, 17, expand_mxfp4},
    TypeEntry{TensorType::kNVFP4, "NVFP4", 64, 36, nullptr},
    TypeEntry{TensorType::kQ1_0, "Q1_0", 128, 18, nullptr},
};

const TypeEntry* find_type(TensorType type) {
  const auto* entry =
      std::find_if(kTypes.begin(), kTypes.end(), [type](const auto& e) { return e.type == type; });
  return entry == kTypes.end() ? nullptr : entry;
}

}  // namespace

std::optional<TypeTraits> traits_of(TensorType type) {
  const TypeEntry* entry = find_type(type);
  if (entry == nullptr) return std::nullopt;
  return TypeTraits{entry->name, entry->block_elements, entry->block_bytes, entry->expand != nullptr};
}

std::string readable_types() {
  std::string names;
  for (const TypeEntry& entry : kTypes) {
    if (entry.expand != nullptr) names.append(names.empty() ? "" : ", ").append(entry.name);
  }
  return names;
}

Result<void> dequantize(TensorType type, const std::byte* data, size_t n, float* out) {
  const TypeEntry* entry = find_type(type);
  if (entry == nullptr || entry->expand == nullptr) {
    const std::string name =
        entry == nullptr ? "number " + std::to_string(static_cast<uint32_t>(type)) : std::string(entry->name);
    return fail(ErrorCode::kUnsupported,
                "tensors of type " + name + " cannot be read; this build reads " + readable_types());
  }
  if (n % entry->block_elements != 0) {
    return fail(
        ErrorCode::kInvalidArgument,
        std::to_string(n) + " elements are no whole number of blocks of type " + std::string(entry->name));
  }
  const auto* block = reinterpret_cast<const uint8_t*>(data);
  for (size_t i = 0; i < n; i += entry->block_elements, block += entry->block_bytes)
    entry->expand(block, out + i);
  return {};
}

}  // namespace lazyfill::gguf
