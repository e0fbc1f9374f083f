// What the attention templates agree on: units of scores, sizes of tiles, and the memory of a block of lanes.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/kernels.h"

namespace lazyfill::tiles {

inline constexpr float kLog2E = 1.44269504F;
inline constexpr float kLn2 = 0.693147181F;
// Stand-ins for minus infinity that keep differences finite: a score that is not seen lies below every
// reference.
inline constexpr float kUnseen = -2e30F;
inline constexpr float kNothingYet = -1e30F;
// The reference of a softmax need not be the maximum, only near it: it moves when scores exceed it by this
// much (2^12 times a weight of one), so the sums are rescaled a few times a row and not in every tile.
inline constexpr float kSlack = 12.0F;

inline constexpr size_t kTileColumns = kPackedColumns;
// Lanes of a block: enough to amortise the conversion of a tile of columns, few enough to stay in L2.
inline constexpr size_t kBlockLanes = 384;
inline constexpr int kPanelRegisters = 3;

// Asks memory for a line of 64 bytes, to be in the first-level cache when it is read; the other for the
// second level, where the first is full. Not __builtin_prefetch: GCC takes a function that does nothing else
// for one without effect and drops it.
inline void ask_for(const std::byte* line) {
  asm volatile("prefetcht0 %0" : : "m"(*line));
}
inline void ask_for_in_second_level(const std::byte* line) {
  asm volatile("prefetcht1 %0" : : "m"(*line));
}

// Neighbouring lanes that are multiplied together.
struct Panel {
  size_t first_lane = 0;
  int n_registers = 0;
  ColumnRange any;  // columns that some lane sees
  ColumnRange all;  // columns that every lane sees (begin > end if none)
};

// A tile of columns in the words that are multiplied.
template <class Word, class Float>
struct TileOf {
  Word* keys;          // [kTileColumns, head_dim / kPair]
  Word* values;        // [kTileColumns / kPair, head_dim]
  Float* key_scale;    // [kTileColumns], only where products are scaled
  Float* value_scale;  // [head_dim], only there
};
using TileMemory = TileOf<uint32_t, float>;
using Tile = TileOf<const uint32_t, const float>;

// What one block of lanes carries through the sweep over the columns; all in scratch memory. Within a panel
// a "row of the panel" is n_registers * kLanes words.
struct BlockMemory {
  uint32_t* q;       // per panel: [head_dim / kPair] rows of the panel
  float* o;          // per panel: [head_dim] rows: weighted values
  float* reference;  // [n_lanes]
  float* sum;        // [n_lanes]
  int32_t* begin;    // [n_lanes]
  int32_t* end;      // [n_lanes]
  float* scores;     // [kTileColumns] rows of a panel; weights take their place
  float* q_scale;    // [n_lanes], only where products are scaled
  float* floats;     // [2, head_dim], only where they are not: columns before they are rounded
  TileMemory tile;   // for columns that are not packed
};

// softcap * tanh(x) in units of log2; x was scaled by 1 / softcap. tanh(x) = 1 - 2 / (e^2x + 1).
template <class Simd>
typename Simd::Vec softcapped(typename Simd::Vec x, float softcap) {
  const auto e = Simd::exp2(Simd::min(Simd::mul(x, Simd::set1(2 * kLog2E)), Simd::set1(60)));
  const auto tanh = Simd::sub(Simd::set1(1), Simd::div(Simd::set1(2), Simd::add(e, Simd::set1(1))));
  return Simd::mul(tanh, Simd::set1(softcap * kLog2E));
}

}  // namespace lazyfill::tiles
