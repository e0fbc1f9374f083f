// Matrix products of the rows of a prompt on tiles (tiles.h). Rows and weights are 16-bit integers in two
// signed bytes each. Of the four products of their bytes the one of both lower ones is that of their
// sixteenths, which needs no sum of its own, or is left out where the rows are plain ones. A result does not
// depend on the rows beside it: integers are summed, and scaled once.
#pragma once

#include <immintrin.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "kernels/amx/expand.h"
#include "kernels/amx/tiles.h"
#include "kernels/kernels.h"

namespace lazyfill::amx {

// Rows lie in tiles of kTileRows, a tile of rows as [tiles_of(n_in)][kPlanes][kTileRows][kTileInputs].
constexpr size_t row_tile_bytes(size_t n_in) {
  return tiles_of(n_in) * kPlanes * kTileBytes;
}

// Two panels beside each other, [tiles_of(n_in)][panel][kPlanes][16][64], and what their integers are worth.
struct ExpandedPanels {
  std::byte* tiles = nullptr;
  alignas(64) float units[2][kOutputs];
};
inline constexpr size_t kPanelStride = kPlanes * kTileBytes;
inline constexpr size_t kPairStride = 2 * kPanelStride;

// Sixteen rows by P panels.
template <class Tiles, int P, bool Fine>
class TileProduct {
 public:
  // Tile p sums upper.upper, tile 2 + p upper.lower + lower.upper and, where Fine, lower.lower / 256.
  static void sum(Tiles& tiles, const std::byte* rows, const std::byte* weights, size_t n_tiles) {
    tiles.template zero<0>();
    tiles.template zero<2>();
    if constexpr (P == 2) {
      tiles.template zero<1>();
      tiles.template zero<3>();
    }
    for (size_t t = 0; t < n_tiles; ++t, rows += kPlanes * kTileBytes, weights += kPairStride) {
      tiles.template load<4>(rows);
      tiles.template load<6>(weights);
      tiles.template dot<0, 4, 6>();
      tiles.template load<5>(rows + kTileBytes);
      tiles.template dot<2, 5, 6>();
      tiles.template load<7>(weights + kTileBytes);
      tiles.template dot<2, 4, 7>();
      if constexpr (P == 2) {
        tiles.template load<6>(weights + kPanelStride);
        tiles.template dot<1, 4, 6>();
        tiles.template dot<3, 5, 6>();
        tiles.template load<7>(weights + kPanelStride + kTileBytes);
        tiles.template dot<3, 4, 7>();
      }
      if constexpr (Fine) {
        tiles.template load<4>(rows + 2 * kTileBytes);
        tiles.template load<6>(weights + 2 * kTileBytes);
        tiles.template dot<2, 4, 6>();
        if constexpr (P == 2) {
          tiles.template load<7>(weights + kPanelStride + 2 * kTileBytes);
          tiles.template dot<3, 4, 7>();
        }
      }
    }
  }
};

// out [n, 16 outputs of the mask] (+)= sums, in units of the rows and of the outputs.
inline void write_sums(const int32_t* upper, const int32_t* mixed, size_t n, const float* row_units,
                       __m512 units, float* out, size_t ld_out, __mmask16 mask, bool accumulate) {
  const __m512 byte = _mm512_set1_ps(256);
  for (size_t r = 0; r < n; ++r, out += ld_out) {
    const __m512 high = _mm512_cvtepi32_ps(_mm512_load_si512(upper + 16 * r));
    const __m512 low = _mm512_cvtepi32_ps(_mm512_load_si512(mixed + 16 * r));
    const __m512 scale = _mm512_mul_ps(_mm512_set1_ps(row_units[r] * 256), units);
    const __m512 sum = _mm512_fmadd_ps(high, byte, low);
    const __m512 before = accumulate ? _mm512_maskz_loadu_ps(mask, out) : _mm512_setzero_ps();
    _mm512_mask_storeu_ps(out, mask, _mm512_fmadd_ps(sum, scale, before));
  }
}

// All rows by P panels.
template <class Tiles, int P, bool Fine>
void rows_by_panels(Tiles& tiles, const ExpandedPanels& w, const PackedRows& x, float* out, size_t ld_out,
                    const __mmask16* masks, bool accumulate) {
  alignas(64) int32_t upper[P][kTileSums];
  alignas(64) int32_t mixed[P][kTileSums];
  const size_t n_tiles = tiles_of(x.n_in);
  for (size_t row = 0; row < x.n_rows; row += kTileRows) {
    const std::byte* rows = x.bytes.data() + row / kTileRows * row_tile_bytes(x.n_in);
    TileProduct<Tiles, P, Fine>::sum(tiles, rows, w.tiles, n_tiles);
    tiles.template store<0>(upper[0]);
    tiles.template store<2>(mixed[0]);
    if constexpr (P == 2) {
      tiles.template store<1>(upper[1]);
      tiles.template store<3>(mixed[1]);
    }
    const size_t n = std::min(kTileRows, x.n_rows - row);
    for (int p = 0; p < P; ++p) {
      write_sums(upper[p], mixed[p], n, x.scales.data() + row, _mm512_load_ps(w.units[p]),
                 out + row * ld_out + static_cast<size_t>(p) * kOutputs, ld_out, masks[p], accumulate);
    }
  }
}

template <class Tiles, bool Fine>
void multiply_by_pairs(const PackedMatrix& w, const PackedRows& x, size_t out_begin, size_t out_end,
                       float* out, size_t ld_out, bool accumulate, Buffer<std::byte>& scratch) {
  scratch.ensure(tiles_of(w.n_in) * kPairStride);
  ExpandedPanels panels;
  panels.tiles = scratch.data();
  Tiles tiles;
  panels::with_layout(w.layout, [&](auto layout) {
    using L = decltype(layout);
    const size_t n_blocks = w.n_in / panels::kBlock;
    for (size_t o = out_begin; o < out_end; o += 2 * kOutputs) {
      const size_t n = out_end - o;
      const auto mask_of = [](size_t lanes) {
        return static_cast<__mmask16>(lanes >= kOutputs ? 0xFFFF : (1U << lanes) - 1);
      };
      const __mmask16 masks[2] = {mask_of(n), n > kOutputs ? mask_of(n - kOutputs) : __mmask16{0}};
      const std::byte* panel = w.bytes.data() + o / kOutputs * n_blocks * L::kBlockBytes;
      expand_panel<L, Fine>(panel, n_blocks, panels.tiles, kPairStride, panels.units[0]);
      if (n > kOutputs) {
        expand_panel<L, Fine>(panel + n_blocks * L::kBlockBytes, n_blocks, panels.tiles + kPanelStride,
                              kPairStride, panels.units[1]);
        rows_by_panels<Tiles, 2, Fine>(tiles, panels, x, out + o, ld_out, masks, accumulate);
      } else {
        rows_by_panels<Tiles, 1, Fine>(tiles, panels, x, out + o, ld_out, masks, accumulate);
      }
    }
  });
}

// Kernels::matmul for rows of pack_for_tiles() and weights in codes. `scratch` is reused between calls.
template <class Tiles>
void matmul_in_tiles(const PackedMatrix& w, const PackedRows& x, size_t out_begin, size_t out_end, float* out,
                     size_t ld_out, bool accumulate, Buffer<std::byte>& scratch) {
  const auto multiply = x.n_plain > 0 ? multiply_by_pairs<Tiles, false> : multiply_by_pairs<Tiles, true>;
  multiply(w, x, out_begin, out_end, out, ld_out, accumulate, scratch);
}

}  // namespace lazyfill::amx
