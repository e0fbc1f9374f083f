// Blocks of 32 inputs as the file has them, taken apart for panels.cc. Internal to kernels/.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels/panels.h"

// Only the vector tables repack, so what takes blocks apart may use AVX2 and F16C, function by function: this
// file's own flags stay those of any machine.
#define LAZYFILL_AVX2_FUNCTION __attribute__((target("avx2,f16c")))

namespace lazyfill::panels {

// One output's block as codes of one byte each, and what its layout needs beside them.
struct BlockParts {
  uint8_t codes[kBlock];    // as they are stored: a nibble where a table follows
  uint16_t scales[2];       // of each 16 inputs: fp16 or bf16
  uint16_t offset;          // fp16
  uint8_t small_scales[2];  // kBytes, kWithMinima
  uint16_t factors[2];      // fp16, what those are multiplied with
};

// As load_half() and float_to_half() of base/half.h, but as one instruction each.
LAZYFILL_AVX2_FUNCTION inline float read_half(const uint8_t* from) {
  uint16_t half;
  std::memcpy(&half, from, 2);
  return _cvtsh_ss(half);
}
LAZYFILL_AVX2_FUNCTION inline uint16_t to_half(float value) {
  return static_cast<uint16_t>(_cvtss_sh(value, _MM_FROUND_TO_NEAREST_INT));
}

// `block` counts blocks of 32 inputs from the beginning of the row, whatever the type's own blocks are.
void read_q2_k(const uint8_t* row, size_t block, BlockParts& parts);
void read_q3_k(const uint8_t* row, size_t block, BlockParts& parts);
void read_iq4_nl(const uint8_t* row, size_t block, BlockParts& parts);
void read_iq4_xs(const uint8_t* row, size_t block, BlockParts& parts);
void read_mxfp4(const uint8_t* row, size_t block, BlockParts& parts);
void read_tq1_0(const uint8_t* row, size_t block, BlockParts& parts);
void read_tq2_0(const uint8_t* row, size_t block, BlockParts& parts);

}  // namespace lazyfill::panels
