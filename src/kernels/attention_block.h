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

inline constexpr size_t kTileColumns = 64;
// Lanes of a block: enough to amortise the conversion of a tile of columns, few enough to stay in L2.
inline constexpr size_t kBlockLanes = 384;
inline constexpr int kPanelRegisters = 3;

// Neighbouring lanes that are multiplied together.
struct Panel {
  size_t first_lane = 0;
  int n_registers = 0;
  ColumnRange any;  // columns that some lane sees
  ColumnRange all;  // columns that every lane sees (begin > end if none)
};

// What one block of lanes carries through the sweep over the columns; all in scratch memory. Within a panel
// a "row of the panel" is n_registers * kLanes words.
struct BlockMemory {
  uint32_t* q;       // per panel: [head_dim / kPair] rows of the panel
  float* o;          // per panel: [head_dim] rows: weighted values
  float* reference;  // [n_lanes]
  float* sum;        // [n_lanes]
  int32_t* begin;    // [n_lanes]
  int32_t* end;      // [n_lanes]
  uint32_t* keys;    // [kTileColumns, head_dim / kPair]
  uint32_t* values;  // [kTileColumns / kPair, head_dim]
  float* scores;     // [kTileColumns] rows of a panel; weights take their place
  // Only where products are scaled:
  float* q_scale;      // [n_lanes]
  float* key_scale;    // [kTileColumns]
  float* value_scale;  // [head_dim], of the tile
  // Only where they are not:
  float* floats;  // [2, head_dim]: columns before they are rounded
};

// softcap * tanh(x) in units of log2; x was scaled by 1 / softcap. tanh(x) = 1 - 2 / (e^2x + 1).
template <class Simd>
typename Simd::Vec softcapped(typename Simd::Vec x, float softcap) {
  const auto e = Simd::exp2(Simd::min(Simd::mul(x, Simd::set1(2 * kLog2E)), Simd::set1(60)));
  const auto tanh = Simd::sub(Simd::set1(1), Simd::div(Simd::set1(2), Simd::add(e, Simd::set1(1))));
  return Simd::mul(tanh, Simd::set1(softcap * kLog2E));
}

}  // namespace lazyfill::tiles
