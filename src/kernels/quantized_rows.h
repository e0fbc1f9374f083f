// How the vector tables keep activations (RowFormat::kQ8): signed bytes with one scale per 32 inputs, and
// where more precision is worth it a second byte for the remainder.
//
// Rows lie in tiles of `TileRows` (the last one may hold fewer), a tile block by block, so that a register
// tile of the product walks through one stream. A block of a tile of n rows holds, each [n]:
//   codes     int8 [n][32]
//   scale     fp32: x = scale * code
//   minus     int32: minus the sum of the codes, what a weight's zero point is multiplied with
//   minus_lo  int32: minus the sum of the first 16 codes, for weights with a scale per 16
//   sum       for weights with an offset, what it is multiplied with: fp32, the sum of the codes and their
//   low
//             bytes times the scale (AVX2, whose offset is the weight of code 0: with it, the rounding of an
//             input counts as much as the weight); or, in even blocks only, the bf16 pair of the sums of the
//             inputs of this block and the next (AVX-512, whose offset is the weight of the middle code)
// A wide block goes on with
//   low           int8 [n][32]: x = scale * (256 * code + low)
//   minus of low  int32, and minus_lo of low
// A block is wide for a whole tile when it is for one of its rows; the others have zeros there, which change
// no bit of their results. Tiles begin at multiples of their largest size; PackedRows::block_at
// [n_tiles][n_blocks + 1] says where in its tile each block begins, and with that which blocks are wide.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "kernels/kernels.h"

namespace lazyfill::quantized_rows {

inline constexpr size_t kBlock = 32;
inline constexpr size_t kRowBytes = kBlock + 4 * 4;                  // of one row in one block
inline constexpr size_t kWideRowBytes = kRowBytes + kBlock + 2 * 4;  // of one row in one wide block
inline constexpr int kLowBits = 8;

constexpr size_t scale_at(size_t n) {
  return n * kBlock;
}
constexpr size_t minus_at(size_t n) {
  return n * (kBlock + 4);
}
constexpr size_t minus_lo_at(size_t n) {
  return n * (kBlock + 8);
}
constexpr size_t sum_at(size_t n) {
  return n * (kBlock + 12);
}
constexpr size_t low_at(size_t n) {
  return n * kRowBytes;
}
constexpr size_t low_minus_at(size_t n) {
  return n * (kRowBytes + kBlock);
}
constexpr size_t low_minus_lo_at(size_t n) {
  return n * (kRowBytes + kBlock + 4);
}

// A tile of n rows in the packed rows, from one of its blocks on.
struct TileView {
  const std::byte* bytes;    // of the whole tile
  const uint32_t* block_at;  // of the first block
  const std::byte* block(size_t b) const { return bytes + block_at[b]; }
  bool is_wide(size_t b, size_t n) const { return block_at[b + 1] - block_at[b] > n * kRowBytes; }
};

// The tile that begins with row `first_row`, a multiple of tile_rows, from block `first_block` on.
inline TileView tile_view(const PackedRows& rows, size_t tile_rows, size_t first_row, size_t first_block) {
  const size_t n_blocks = rows.n_in / kBlock;
  return {rows.bytes.data() + first_row * n_blocks * kWideRowBytes,
          rows.block_at.data() + first_row / tile_rows * (n_blocks + 1) + first_block};
}

// Largest magnitudes of the blocks of a row -> bit `row` of `wide` [n_blocks], set where the block is wide.
inline void choose_wide(const float* largest, size_t n_blocks, float wide_above, size_t row, uint8_t* wide) {
  float sum = 0;
  for (size_t b = 0; b < n_blocks; ++b) sum += largest[b] * largest[b];
  const float bound = wide_above * sum / static_cast<float>(n_blocks);
  for (size_t b = 0; b < n_blocks; ++b) {
    if (largest[b] * largest[b] > bound) wide[b] |= static_cast<uint8_t>(1U << row);
  }
}

// Which blocks of a tile of n rows are wide, in rows.wide, and with that where they lie, to block_at.
template <class Table>
void lay_out_tile(const float* x, size_t n, size_t n_in, size_t first_row, const Precision& precision,
                  PackedRows& rows, uint32_t* block_at) {
  const size_t n_blocks = n_in / kBlock;
  std::fill_n(rows.wide.data(), n_blocks, uint8_t{0});
  for (size_t r = 0; r < n; ++r) {
    const float wide_above = first_row + r < precision.n_plain ? precision.wide_above : 0.0F;
    if (std::isinf(wide_above)) continue;
    for (size_t b = 0; b < n_blocks; ++b) rows.largest[b] = Table::largest_of(x + r * n_in + b * kBlock);
    choose_wide(rows.largest.data(), n_blocks, wide_above, r, rows.wide.data());
  }
  block_at[0] = 0;
  for (size_t b = 0; b < n_blocks; ++b) {
    block_at[b + 1] =
        block_at[b] + static_cast<uint32_t>(n * (rows.wide[b] != 0 ? kWideRowBytes : kRowBytes));
  }
}

// pack_rows to kQ8, tile by tile. `Table` says how an instruction set does it with a block (see
// avx2/rows.cc): largest_of, quantize, quantize_low and put_sum.
template <class Table>
void pack(const float* x, size_t n_rows, size_t n_in, size_t tile_rows, const Precision& precision,
          PackedRows& rows) {
  const size_t n_blocks = n_in / kBlock;
  const size_t n_tiles = (n_rows + tile_rows - 1) / tile_rows;
  rows.bytes.ensure(n_rows * n_blocks * kWideRowBytes);
  rows.block_at.ensure(n_tiles * (n_blocks + 1));
  rows.largest.ensure(n_blocks);
  rows.wide.ensure(n_blocks);
  for (size_t t = 0; t < n_tiles; ++t) {
    const size_t first = t * tile_rows;
    const size_t n = std::min(tile_rows, n_rows - first);
    const float* from = x + first * n_in;
    uint32_t* block_at = rows.block_at.data() + t * (n_blocks + 1);
    lay_out_tile<Table>(from, n, n_in, first, precision, rows, block_at);
    std::byte* tile = rows.bytes.data() + first * n_blocks * kWideRowBytes;
    for (size_t b = 0; b < n_blocks; ++b) {
      std::byte* block = tile + block_at[b];
      for (size_t r = 0; r < n; ++r) {
        const float* inputs = from + r * n_in + b * kBlock;
        Table::quantize(inputs, block, n, r);
        if (rows.wide[b] != 0) Table::quantize_low(inputs, (rows.wide[b] >> r & 1) != 0, block, n, r);
        Table::put_sum(inputs, b, n_blocks, rows.wide[b] != 0, block, n, r);
      }
    }
  }
}

}  // namespace lazyfill::quantized_rows
