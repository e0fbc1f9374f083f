// Blocks of 32 inputs as the file has them, taken apart for panels.cc. Internal to kernels/.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/panels.h"

namespace lazyfill::panels {

// One output's block as codes of one byte each, and what its layout needs beside them.
struct BlockParts {
  uint8_t codes[kBlock];    // as they are stored: a nibble where a table follows
  uint16_t scales[2];       // of each 16 inputs: fp16 or bf16
  uint16_t offset;          // bf16
  uint8_t small_scales[2];  // kBytes, kWithMinima
  uint16_t factors[2];      // fp16, what those are multiplied with
};

// `block` counts blocks of 32 inputs from the beginning of the row, whatever the type's own blocks are.
void read_q2_k(const uint8_t* row, size_t block, BlockParts& parts);
void read_q3_k(const uint8_t* row, size_t block, BlockParts& parts);
void read_iq4_nl(const uint8_t* row, size_t block, BlockParts& parts);
void read_iq4_xs(const uint8_t* row, size_t block, BlockParts& parts);
void read_mxfp4(const uint8_t* row, size_t block, BlockParts& parts);
void read_tq1_0(const uint8_t* row, size_t block, BlockParts& parts);
void read_tq2_0(const uint8_t* row, size_t block, BlockParts& parts);

}  // namespace lazyfill::panels
