#include "base/half.h"
#include "gguf/low_bit_blocks.h"
#include "kernels/pack_blocks.h"

namespace lazyfill::panels {
namespace {

constexpr size_t kSubBlocks = 8;  // blocks of 32 in one of 256

LAZYFILL_AVX2_FUNCTION void set_scale(uint16_t scale, BlockParts& parts) {
  parts.scales[0] = parts.scales[1] = scale;
}

// The low nibbles of 16 bytes are codes 0-15, the high ones 16-31.
LAZYFILL_AVX2_FUNCTION void split_nibbles(const uint8_t* bytes, uint8_t* codes) {
  for (size_t i = 0; i < kBlock / 2; ++i) {
    codes[i] = bytes[i] & 0xF;
    codes[i + kBlock / 2] = bytes[i] >> 4;
  }
}

}  // namespace

LAZYFILL_AVX2_FUNCTION void read_q2_k(const uint8_t* row, size_t block, BlockParts& parts) {
  const uint8_t* from = row + block / kSubBlocks * 84;
  const size_t sub = block % kSubBlocks;
  gguf::q2_k_codes(from, sub, parts.codes);
  for (size_t i = 0; i < 2; ++i) {
    parts.small_scales[i] = from[2 * sub + i];
    parts.factors[i] = load_unaligned<uint16_t>(from + 80 + 2 * i);
  }
}

LAZYFILL_AVX2_FUNCTION void read_q3_k(const uint8_t* row, size_t block, BlockParts& parts) {
  const uint8_t* from = row + block / kSubBlocks * 110;
  const size_t sub = block % kSubBlocks;
  gguf::q3_k_codes(from, sub, parts.codes);
  for (size_t i = 0; i < 2; ++i)
    parts.small_scales[i] = static_cast<uint8_t>(gguf::q3_k_scale(from, 2 * sub + i));
  parts.factors[0] = load_unaligned<uint16_t>(from + 108);
}

LAZYFILL_AVX2_FUNCTION void read_iq4_nl(const uint8_t* row, size_t block, BlockParts& parts) {
  const uint8_t* from = row + block * 18;
  set_scale(load_unaligned<uint16_t>(from), parts);
  split_nibbles(from + 2, parts.codes);
}

LAZYFILL_AVX2_FUNCTION void read_iq4_xs(const uint8_t* row, size_t block, BlockParts& parts) {
  const uint8_t* from = row + block / kSubBlocks * 136;
  const size_t sub = block % kSubBlocks;
  set_scale(to_half(read_half(from) * static_cast<float>(gguf::iq4_xs_scale(from, sub))), parts);
  split_nibbles(from + 8 + sub * 16, parts.codes);
}

LAZYFILL_AVX2_FUNCTION void read_mxfp4(const uint8_t* row, size_t block, BlockParts& parts) {
  const uint8_t* from = row + block * 17;
  set_scale(float_to_bf16(gguf::mxfp4_scale(from[0])), parts);  // exact: a power of two
  split_nibbles(from + 1, parts.codes);
}

LAZYFILL_AVX2_FUNCTION void read_tq1_0(const uint8_t* row, size_t block, BlockParts& parts) {
  const uint8_t* from = row + block / kSubBlocks * 54;
  set_scale(load_unaligned<uint16_t>(from + 52), parts);
  gguf::tq1_0_codes(from, block % kSubBlocks, parts.codes);
}

LAZYFILL_AVX2_FUNCTION void read_tq2_0(const uint8_t* row, size_t block, BlockParts& parts) {
  const uint8_t* from = row + block / kSubBlocks * 66;
  set_scale(load_unaligned<uint16_t>(from + 64), parts);
  gguf::tq2_0_codes(from, block % kSubBlocks, parts.codes);
}

}  // namespace lazyfill::panels
