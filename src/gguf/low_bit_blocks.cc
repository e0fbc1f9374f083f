#include "gguf/low_bit_blocks.h"

#include <bit>

#include "base/half.h"

namespace lazyfill::gguf {
namespace {

constexpr size_t kSubBlock = 32;
constexpr size_t kSubBlocks = 8;  // of a block of 256

// Two bits an element: a half of 128 elements takes 32 bytes, each with one element of every quarter of it.
void pair_codes(const uint8_t* pairs, size_t sub, uint8_t* codes) {
  const uint8_t* from = pairs + sub / 4 * kSubBlock;
  const size_t shift = 2 * (sub % 4);
  for (size_t i = 0; i < kSubBlock; ++i) codes[i] = static_cast<uint8_t>((from[i] >> shift) & 3);
}

// 16 bytes of nibbles that look up: the low ones are elements 0-15, the high ones 16-31.
void expand_nibbles(const uint8_t* nibbles, const std::array<int8_t, 16>& values, float scale, float* out) {
  for (size_t i = 0; i < kSubBlock / 2; ++i) {
    out[i] = scale * static_cast<float>(values[nibbles[i] & 0xf]);
    out[i + kSubBlock / 2] = scale * static_cast<float>(values[nibbles[i] >> 4]);
  }
}

// Digit n of a byte that is a fraction of 256 in base 3, most significant first.
uint8_t ternary_digit(uint8_t byte, size_t n) {
  constexpr std::array<uint8_t, 5> kPowers = {1, 3, 9, 27, 81};
  const auto rest = static_cast<uint8_t>(byte * kPowers[n]);  // the digits before it are carried out
  return static_cast<uint8_t>((rest * 3U) >> 8);
}

using CodesFunction = void (*)(const uint8_t* block, size_t sub, uint8_t* codes);

void expand_ternary(const uint8_t* block, CodesFunction codes_of, float scale, float* out) {
  uint8_t codes[kSubBlock];
  for (size_t sub = 0; sub < kSubBlocks; ++sub) {
    codes_of(block, sub, codes);
    for (const uint8_t code : codes) *out++ = scale * static_cast<float>(code - 1);
  }
}

}  // namespace

float mxfp4_scale(uint8_t exponent) {
  const uint32_t bits = exponent < 2 ? 0x00200000U << exponent : static_cast<uint32_t>(exponent - 1) << 23;
  return std::bit_cast<float>(bits);
}

// Six bits each in 12 bytes: the nibbles of bytes 0-7 are the low ones of scales 0-7 and 8-15; bit pair j of
// byte 8 + i is the upper two of scale 4 * j + i.
int q3_k_scale(const uint8_t* block, size_t group) {
  const uint8_t* packed = block + 96;
  const int low = group < 8 ? packed[group] & 0xf : packed[group - 8] >> 4;
  const int high = (packed[8 + group % 4] >> (2 * (group / 4))) & 3;
  return (low | (high << 4)) - 32;
}

// Low nibbles in 4 bytes, the upper two bits of all in 16 bits.
int iq4_xs_scale(const uint8_t* block, size_t group) {
  const int low = (block[4 + group / 2] >> (group % 2 * 4)) & 0xf;
  const int high = (load_unaligned<uint16_t>(block + 2) >> (2 * group)) & 3;
  return (low | (high << 4)) - 32;
}

void q2_k_codes(const uint8_t* block, size_t sub, uint8_t* codes) {
  pair_codes(block + 16, sub, codes);
}

// The third bit of element i of sub-block s is bit s of byte i of the block.
void q3_k_codes(const uint8_t* block, size_t sub, uint8_t* codes) {
  pair_codes(block + 32, sub, codes);
  for (size_t i = 0; i < kSubBlock; ++i) codes[i] |= static_cast<uint8_t>(((block[i] >> sub) & 1) << 2);
}

// Five digits a byte: digit n of 32 bytes are elements 32 * n to 32 * n + 31, digit n of the next 16 bytes
// elements 160 + 16 * n and on; then four digits a byte: digit n of 4 bytes are elements 240 + 4 * n and on.
void tq1_0_codes(const uint8_t* block, size_t sub, uint8_t* codes) {
  for (size_t i = 0; i < kSubBlock; ++i) {
    const size_t element = sub * kSubBlock + i;
    if (element < 160) {
      codes[i] = ternary_digit(block[element % 32], element / 32);
    } else if (element < 240) {
      codes[i] = ternary_digit(block[32 + element % 16], (element - 160) / 16);
    } else {
      codes[i] = ternary_digit(block[48 + element % 4], (element - 240) / 4);
    }
  }
}

void tq2_0_codes(const uint8_t* block, size_t sub, uint8_t* codes) {
  pair_codes(block, sub, codes);
}

// 16 bytes of scale (low nibble) and minimum of 16 elements, 64 bytes of bit pairs, fp16 scale, fp16 scale of
// the minima.
void expand_q2_k(const uint8_t* block, float* out) {
  const float block_scale = load_half(block + 80);
  const float block_minimum = load_half(block + 82);
  uint8_t codes[kSubBlock];
  for (size_t sub = 0; sub < kSubBlocks; ++sub) {
    q2_k_codes(block, sub, codes);
    for (size_t i = 0; i < kSubBlock; ++i) {
      const uint8_t packed = block[2 * sub + i / 16];
      const float scale = block_scale * static_cast<float>(packed & 0xf);
      const float minimum = block_minimum * static_cast<float>(packed >> 4);
      *out++ = scale * static_cast<float>(codes[i]) - minimum;
    }
  }
}

// 32 bytes of third bits, 64 bytes of bit pairs, 12 bytes of scales, fp16 scale.
void expand_q3_k(const uint8_t* block, float* out) {
  const float block_scale = load_half(block + 108);
  uint8_t codes[kSubBlock];
  for (size_t sub = 0; sub < kSubBlocks; ++sub) {
    q3_k_codes(block, sub, codes);
    for (size_t i = 0; i < kSubBlock; ++i) {
      const float scale = block_scale * static_cast<float>(q3_k_scale(block, 2 * sub + i / 16));
      *out++ = scale * static_cast<float>(codes[i] - 4);
    }
  }
}

// fp16 scale, nibbles.
void expand_iq4_nl(const uint8_t* block, float* out) {
  expand_nibbles(block + 2, kIq4Values, load_half(block), out);
}

// fp16 scale, scales of 32 elements each, nibbles.
void expand_iq4_xs(const uint8_t* block, float* out) {
  const float block_scale = load_half(block);
  for (size_t sub = 0; sub < kSubBlocks; ++sub) {
    const float scale = block_scale * static_cast<float>(iq4_xs_scale(block, sub));
    expand_nibbles(block + 8 + sub * 16, kIq4Values, scale, out + sub * kSubBlock);
  }
}

// The exponent of the scale, nibbles.
void expand_mxfp4(const uint8_t* block, float* out) {
  expand_nibbles(block + 1, kMxfp4Values, mxfp4_scale(block[0]), out);
}

// 52 bytes of digits, fp16 scale.
void expand_tq1_0(const uint8_t* block, float* out) {
  expand_ternary(block, tq1_0_codes, load_half(block + 52), out);
}

// 64 bytes of bit pairs, fp16 scale.
void expand_tq2_0(const uint8_t* block, float* out) {
  expand_ternary(block, tq2_0_codes, load_half(block + 64), out);
}

}  // namespace lazyfill::gguf
