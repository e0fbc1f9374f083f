// How the vector tables keep activations (RowFormat::kQ8): plain rows as signed bytes with one scale per 32
// inputs, the others as 16-bit numbers with one scale for the whole row. AVX-512 takes such a number as two
// bytes, 256 * high + low, whose products with the weights are summed one after the other in integers.
//
// Rows lie in tiles of `TileRows` (the last one of either kind may hold fewer), a tile block by block, so
// that a register tile of the product walks through one stream. First come the plain rows, then the others;
// no tile holds both kinds. A block of 32 inputs in a tile of n rows holds, each [n]:
//   codes     int8 [n][32]; of 16-bit numbers AVX-512 has the high bytes here and then the low bytes, again
//             int8 [n][32], and AVX2 int16 [n][32], of every four inputs the first, third, second and fourth
//   scale     fp32: x = scale * code; plain rows only
//   minus     int32: minus the sum of the codes, what a weight's zero point is multiplied with
//   minus_lo  int32: minus the sum of the first 16 codes, for weights with a scale per 16
//   sum       for weights with an offset, what it is multiplied with: fp32, the sum of the codes, in plain
//             rows times the scale (the offset is then the weight of code 0: with it, the rounding of an
//             input counts as much as the weight); or, in plain rows of AVX-512 and there in even blocks
//             only, the bf16 pair of the sums of the inputs of this block and the next (the offset is then
//             the weight of the middle code)
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels/kernels.h"

namespace lazyfill::quantized_rows {

inline constexpr size_t kBlock = 32;
inline constexpr int kLowBits = 8;
inline constexpr float kLargestWide = 127 << kLowBits;  // the low byte may then be anything

// Sizes and places in a block of n rows, wide (of 16 bits) or not.
constexpr size_t code_bytes(bool wide) {
  return wide ? 2 * kBlock : kBlock;
}
constexpr size_t row_bytes(bool wide) {  // of one row
  return code_bytes(wide) + 4 * 4;
}
constexpr size_t low_at(size_t n) {
  return n * kBlock;
}
constexpr size_t scale_at(size_t n) {
  return n * code_bytes(false);
}
constexpr size_t minus_at(size_t n, bool wide) {
  return n * (code_bytes(wide) + 4);
}
constexpr size_t minus_lo_at(size_t n, bool wide) {
  return n * (code_bytes(wide) + 8);
}
constexpr size_t sum_at(size_t n, bool wide) {
  return n * (code_bytes(wide) + 12);
}

// Where the block `block` of the tile of n rows begins that begins with row `first`, whose rows are wide or
// not.
inline size_t block_at(const PackedRows& rows, size_t first, size_t n, bool wide, size_t block) {
  const size_t n_blocks = rows.n_in / kBlock;
  const size_t plain_rows = wide ? rows.n_plain : first;
  const size_t wide_rows = first - plain_rows;
  return (plain_rows * row_bytes(false) + wide_rows * row_bytes(true)) * n_blocks +
         block * n * row_bytes(wide);
}

inline void put(std::byte* to, int32_t value) {
  std::memcpy(to, &value, 4);
}
inline void put(std::byte* to, float value) {
  std::memcpy(to, &value, 4);
}

// A tile of n rows x [n, n_in], to its blocks from `to` on. `Table` says how an instruction set does it with
// a block (see avx2/rows.cc).
template <class Table>
void pack_plain_tile(const float* x, size_t n, size_t n_in, std::byte* to) {
  for (size_t b = 0; b < n_in / kBlock; ++b, to += n * row_bytes(false)) {
    for (size_t r = 0; r < n; ++r) Table::quantize(x + r * n_in, b, n_in / kBlock, to, n, r);
  }
}

template <class Table>
void pack_wide_tile(const float* x, size_t n, size_t n_in, float* scales, std::byte* to) {
  for (size_t r = 0; r < n; ++r) {
    const float* row = x + r * n_in;
    float largest = 0;
    for (size_t i = 0; i < n_in; i += kBlock) largest = std::max(largest, Table::largest_of(row + i));
    // A row of next to nothing is one of zeros, for the inverse of its scale would be infinite.
    const bool is_zero = largest < 1e-30F;
    scales[r] = is_zero ? 0.0F : largest / kLargestWide;
    const float inverse = is_zero ? 0.0F : kLargestWide / largest;
    std::byte* block = to;
    for (size_t b = 0; b < n_in / kBlock; ++b, block += n * row_bytes(true)) {
      int32_t sum_lo = 0;  // of the first 16
      const int32_t sum = Table::quantize_wide(row + b * kBlock, inverse, block, n, r, sum_lo);
      put(block + minus_at(n, true) + 4 * r, -sum);
      put(block + minus_lo_at(n, true) + 4 * r, -sum_lo);
      put(block + sum_at(n, true) + 4 * r, static_cast<float>(sum));
    }
  }
}

// pack_rows to kQ8.
template <class Table>
void pack(const float* x, size_t n_rows, size_t n_in, size_t tile_rows, size_t n_plain, PackedRows& rows) {
  rows.n_plain = std::min(n_plain, n_rows);
  rows.scales.ensure(n_rows);
  rows.bytes.ensure(n_rows * (n_in / kBlock) * row_bytes(true));
  for (size_t first = 0, n = 0; first < n_rows; first += n) {
    const bool wide = first >= rows.n_plain;
    n = std::min(tile_rows, (wide ? n_rows : rows.n_plain) - first);
    std::byte* to = rows.bytes.data() + block_at(rows, first, n, wide, 0);
    if (wide) {
      pack_wide_tile<Table>(x + first * n_in, n, n_in, rows.scales.data() + first, to);
    } else {
      pack_plain_tile<Table>(x + first * n_in, n, n_in, to);
    }
  }
}

}  // namespace lazyfill::quantized_rows
