// How the vector tables keep weights: quantised as in the file, reordered so that one load brings four inputs
// of sixteen outputs. AVX2 and AVX-512 read the same bytes.
//
// A panel is 16 outputs; it lies block by block, a block being 32 inputs. A block of quantised codes holds
//   codes    512 codes in the order [8 input groups][16 outputs][4 inputs], of 4, 5, 6 or 8 bits (below)
//   scales   fp16 [32 / group][16]: one for every `group` inputs of an output
//   offsets  fp16 [16], only where the type has minima
// and a weight is scale * (code - zero_point) + offset with zero_point = 2^(bits - 1). Taking the middle of
// the codes out of the minimum leaves an offset of the size of a few scales, which fp16 rounds to
// little.
//
//   8 bits: bytes [512]
//   4 bits: byte j of [256] is code j in its low nibble and code j + 256 in its high nibble
//   5 bits: as 4 bits, then bytes [64]: bit g of byte j is the fifth bit of code 64 * g + j
//   6 bits: as 4 bits, then bytes [2][64]: bits 2i, 2i + 1 of byte j of half h are the top bits of code
//           64 * (4 * h + i) + j
//
// Weights that are floats in the file stay what they are: [n_in][16] a panel.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/kernels.h"

namespace lazyfill::panels {

inline constexpr size_t kOutputs = 16;      // outputs of a panel
inline constexpr size_t kBlock = 32;        // inputs of a block
inline constexpr size_t kInputGroups = 8;   // groups of four inputs in a block
inline constexpr size_t kGroupBytes = 64;   // a group's 8-bit codes: 16 outputs by 4 inputs
inline constexpr size_t kGranularity = 32;  // two panels are multiplied together

enum Tag : int { kU4, kU4Offset, kU5, kU5Offset, kU6, kU8, kF32, kF16, kBf16 };

// Compile-time view of a layout of codes.
template <int Bits, size_t Group, bool Offset>
struct Codes {
  static constexpr int kBits = Bits;
  static constexpr size_t kScaleGroups = kBlock / Group;
  static constexpr bool kHasOffset = Offset;
  static constexpr int kZeroPointShift = Bits - 1;
  static constexpr size_t kCodesBytes = kOutputs * kBlock * Bits / 8;
  static constexpr size_t kScalesAt = kCodesBytes;
  static constexpr size_t kOffsetsAt = kScalesAt + kScaleGroups * kOutputs * 2;
  static constexpr size_t kBlockBytes = kOffsetsAt + (Offset ? kOutputs * 2 : 0);
};
using U4 = Codes<4, 32, false>;
using U4Offset = Codes<4, 32, true>;
using U5 = Codes<5, 32, false>;
using U5Offset = Codes<5, 32, true>;
using U6 = Codes<6, 16, false>;
using U8 = Codes<8, 32, false>;

// The packed matrix's size is that of whole panels; outputs beyond n_out are zeros.
Result<PackedMatrix> begin_pack(const RawMatrix& raw);
void pack_outputs(const RawMatrix& rows, PackedMatrix& packed, size_t out_begin);

}  // namespace lazyfill::panels
