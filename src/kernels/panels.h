// How the vector tables keep weights: quantised as in the file, reordered so that one load brings four inputs
// of sixteen outputs. AVX2 and AVX-512 read the same bytes.
//
// A panel is 16 outputs; it lies block by block, a block being 32 inputs. A block of quantised codes holds
//   codes    512 codes in the order [8 input groups][16 outputs][4 inputs], of 2, 3, 4, 5, 6 or 8 bits
//   (below) scales   fp16 [32 / group][16]: one for every `group` inputs of an output offsets  fp16 [16],
//   only where the type has minima
// and a weight is scale * (code - zero_point) + offset with zero_point = 2^(bits - 1). Taking the middle of
// the codes out of the minimum leaves an offset of the size of a few scales, which fp16 rounds to
// little.
//
//   8 bits: bytes [512]
//   4 bits: byte j of [256] is code j in its low nibble and code j + 256 in its high nibble
//   5 bits: as 4 bits, then bytes [64]: bit g of byte j is the fifth bit of code 64 * g + j
//   6 bits: as 4 bits, then pairs [2][64]: bits 2i, 2i + 1 of byte j of half h are the top bits of code
//           64 * (4 * h + i) + j
//   2 bits: pairs [2][64]
//   3 bits: pairs [2][64], then the third bits as the fifth of 5 bits
//
// Types below 4 bits, or whose codes look their weights up, say more with fewer bytes (LowBit below): scales
// of other forms, a zero point of their own, a table between the stored nibble and the code.
//
// Weights that are floats in the file stay what they are: [n_in][16] a panel.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "gguf/low_bit_blocks.h"
#include "kernels/kernels.h"

namespace lazyfill::panels {

inline constexpr size_t kOutputs = 16;      // outputs of a panel
inline constexpr size_t kBlock = 32;        // inputs of a block
inline constexpr size_t kInputGroups = 8;   // groups of four inputs in a block
inline constexpr size_t kGroupBytes = 64;   // a group's 8-bit codes: 16 outputs by 4 inputs
inline constexpr size_t kGranularity = 32;  // two panels are multiplied together

enum Tag : int {
  kU4,
  kU4Offset,
  kU5,
  kU5Offset,
  kU6,
  kU8,
  kU2Minima,
  kU3,
  kTernary,
  kTable8,
  kTable5,
  kF32,
  kF16,
  kBf16
};

// How a block keeps its scales.
enum class Scales {
  kHalf,        // fp16 [groups][16]
  kBf16,        // bf16 [groups][16]: for powers of two beyond the range of fp16
  kBytes,       // int8 [groups][16], then the fp16 [16] that they are multiplied with
  kWithMinima,  // bytes [groups][16], scale in the low and minimum in the high nibble, then for both the fp16
                // [16] that they are multiplied with: a weight is scale * code - minimum
};

// Compile-time view of a layout of codes.
template <int Bits, size_t Group, bool Offset>
struct Codes {
  static constexpr int kBits = Bits;        // of a code as it is multiplied
  static constexpr int kStoredBits = Bits;  // and as it lies here
  static constexpr Scales kScales = Scales::kHalf;
  static constexpr const int8_t* kTable =
      nullptr;  // [16] weight of a stored nibble; the code is 2^(bits - 1) more
  static constexpr size_t kScaleGroups = kBlock / Group;
  static constexpr bool kHasOffset = Offset;
  static constexpr int kZeroPointShift = Bits - 1;
  static constexpr size_t kCodesBytes = kOutputs * kBlock * Bits / 8;
  static constexpr size_t kScalesAt = kCodesBytes;
  static constexpr size_t kOffsetsAt = kScalesAt + kScaleGroups * kOutputs * 2;
  static constexpr size_t kBlockBytes = kOffsetsAt + (Offset ? kOutputs * 2 : 0);
};

constexpr size_t scales_bytes(Scales scales, size_t n_groups) {
  if (scales == Scales::kBytes) return n_groups * kOutputs + kOutputs * 2;
  if (scales == Scales::kWithMinima) return n_groups * kOutputs + kOutputs * 4;
  return n_groups * kOutputs * 2;
}

// The same for the types named above; without offsets.
template <int Bits, int StoredBits, size_t Group, Scales Form, int ZeroPointShift,
          const std::array<int8_t, 16>* Table = nullptr>
struct LowBit {
  static constexpr int kBits = Bits;
  static constexpr int kStoredBits = StoredBits;
  static constexpr Scales kScales = Form;
  static constexpr const std::array<int8_t, 16>* kTable = Table;
  static constexpr size_t kScaleGroups = kBlock / Group;
  static constexpr bool kHasOffset = false;
  static constexpr int kZeroPointShift = ZeroPointShift;
  static constexpr size_t kCodesBytes = kOutputs * kBlock * StoredBits / 8;
  static constexpr size_t kScalesAt = kCodesBytes;
  static constexpr size_t kOffsetsAt = kScalesAt + scales_bytes(Form, kScaleGroups);
  static constexpr size_t kBlockBytes = kOffsetsAt;
};

using U4 = Codes<4, 32, false>;
using U4Offset = Codes<4, 32, true>;
using U5 = Codes<5, 32, false>;
using U5Offset = Codes<5, 32, true>;
using U6 = Codes<6, 16, false>;
using U8 = Codes<8, 32, false>;
using U2Minima = LowBit<2, 2, 16, Scales::kWithMinima, 0>;               // Q2_K
using U3 = LowBit<3, 3, 16, Scales::kBytes, 2>;                          // Q3_K
using Ternary = LowBit<2, 2, 32, Scales::kHalf, 0>;                      // TQ1_0, TQ2_0
using Table8 = LowBit<8, 4, 32, Scales::kHalf, 7, &gguf::kIq4Values>;    // IQ4_NL, IQ4_XS
using Table5 = LowBit<5, 4, 32, Scales::kBf16, 4, &gguf::kMxfp4Values>;  // MXFP4

// Whether the stored nibble is looked up. (GCC 12 with UBSan takes no comparison of L::kTable for a
// constant.)
template <class L>
inline constexpr bool kHasTable = L::kStoredBits != L::kBits;

template <class L>
inline constexpr bool kHasMinima = L::kScales == Scales::kWithMinima;

// Calls fn with the layout of a tag; false for tags of floats.
template <class Fn>
bool with_layout(int tag, Fn fn) {
  switch (tag) {
    case kU4:
      fn(U4{});
      return true;
    case kU4Offset:
      fn(U4Offset{});
      return true;
    case kU5:
      fn(U5{});
      return true;
    case kU5Offset:
      fn(U5Offset{});
      return true;
    case kU6:
      fn(U6{});
      return true;
    case kU8:
      fn(U8{});
      return true;
    case kU2Minima:
      fn(U2Minima{});
      return true;
    case kU3:
      fn(U3{});
      return true;
    case kTernary:
      fn(Ternary{});
      return true;
    case kTable8:
      fn(Table8{});
      return true;
    case kTable5:
      fn(Table5{});
      return true;
    default:
      return false;
  }
}

// The packed matrix's size is that of whole panels; outputs beyond n_out are zeros.
Result<PackedMatrix> begin_pack(const RawMatrix& raw);
void pack_outputs(const RawMatrix& rows, PackedMatrix& packed, size_t out_begin);

}  // namespace lazyfill::panels
