// How the vector tables keep activations (RowFormat::kQ8): signed bytes with one scale per 32 inputs.
//
// Rows lie in tiles of `TileRows` (the last one may hold fewer), a tile block by block, so that a register
// tile of the product walks through one stream. A block of a tile of n rows holds, each [n]:
//   codes     int8 [n][32]
//   scale     fp32: x = scale * code
//   minus     int32: minus the sum of the codes, what a weight's zero point is multiplied with
//   minus_lo  int32: minus the sum of the first 16 codes, for weights with a scale per 16
//   sum       the scaled sum of the block, for weights with an offset: fp32 (AVX2), or, in even blocks only,
//   the bf16
//             pair of this block and the next (AVX-512, whose bf16 dot product takes two at once)
#pragma once

#include <cstddef>
#include <cstdint>

namespace lazyfill::quantized_rows {

inline constexpr size_t kBlock = 32;
inline constexpr size_t kRowBytes = kBlock + 4 * 4;  // of one row in one block

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

}  // namespace lazyfill::quantized_rows
