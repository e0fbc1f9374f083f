#include "kernels/avx512/matmul.h"

#include <immintrin.h>

#include <algorithm>
#include <cstring>

#include "kernels/avx512/panel_blocks.h"
#include "kernels/panels.h"
#include "kernels/quantized_rows.h"

// Every element of the result sees the same operations in the same order whichever path computes it: a row's
// result does not depend on how many rows it is computed with.
namespace lazyfill::avx512 {
namespace {

namespace qr = quantized_rows;
using panels::kInputGroups;

int32_t load_int(const std::byte* from) {
  int32_t value;
  std::memcpy(&value, from, 4);
  return value;
}

float load_float(const std::byte* from) {
  float value;
  std::memcpy(&value, from, 4);
  return value;
}

__m512 add_offsets(__m512 acc, __m512i offsets, int32_t sums) {
  return _mm512_dpbf16_ps(acc, reinterpret_cast<__m512bh>(offsets),
                          reinterpret_cast<__m512bh>(_mm512_set1_epi32(sums)));
}

// sum * scale, plus what is at `to` where that is to be added to.
__m512 scaled(__m512 sum, float scale, const float* to, __mmask16 mask, bool accumulate) {
  const __m512 before = accumulate ? _mm512_maskz_loadu_ps(mask, to) : _mm512_setzero_ps();
  return _mm512_fmadd_ps(sum, _mm512_set1_ps(scale), before);
}

// What only some layouts have in a Block.
template <bool There, size_t Groups, int P>
struct Minima {};
template <size_t Groups, int P>
struct Minima<true, Groups, P> {
  float minima[Groups][P][kOutputs];
};

// A block of P panels ready for the register tile: what `unpack` makes once and all rows use.
template <class L, int P>
struct alignas(64) Block : Minima<panels::kHasMinima<L>, L::kScaleGroups, P> {
  uint8_t codes[kInputGroups][P][kGroupBytes];
  float scales[L::kScaleGroups][P][kOutputs];
  // Only for weights with an offset. For plain rows, and there in even blocks, bf16 pairs; else minima, fp32.
  std::byte offsets[P][kOutputs * 4];
};

template <class L, int P, bool Wide>
void unpack(const std::byte* panel, size_t panel_bytes, size_t first, size_t n, size_t n_blocks,
            Block<L, P>* to) {
  for (size_t b = 0; b < n; ++b) {
    for (int p = 0; p < P; ++p) {
      const std::byte* block = panel + static_cast<size_t>(p) * panel_bytes + (first + b) * L::kBlockBytes;
#pragma GCC unroll 8
      for (int g = 0; g < 8; ++g) _mm512_store_si512(to[b].codes[g][p], group_codes<L>(block, g));
      for (size_t s = 0; s < L::kScaleGroups; ++s)
        _mm512_store_ps(to[b].scales[s][p], group_scales<L>(block, s));
      if constexpr (panels::kHasMinima<L>) {
        for (size_t s = 0; s < L::kScaleGroups; ++s)
          _mm512_storeu_ps(to[b].minima[s][p], group_minima<L>(block, s));
      }
      if constexpr (L::kHasOffset) {
        if constexpr (Wide) {
          _mm512_store_ps(to[b].offsets[p], minima_of_offsets<L>(block));
        } else if (b % 2 == 0) {
          _mm512_store_si512(to[b].offsets[p], offset_pairs<L>(block, first + b + 1 < n_blocks));
        }
      }
    }
  }
}

// Minus the sum of row r's codes of scale group s.
template <class L, int R, bool Wide>
int32_t minus_sum(const std::byte* x, size_t s, int r) {
  const int32_t first_half = load_int(x + qr::minus_lo_at(R, Wide) + 4 * r);
  const int32_t whole = load_int(x + qr::minus_at(R, Wide) + 4 * r);
  if (s == 1) return whole - first_half;
  return L::kScaleGroups == 1 ? whole : first_half;
}

// The zero point times that: where the sums begin. With minima the zero point is code 0.
template <class L, int R, bool Wide>
__m512i zero_point_term(const std::byte* x, size_t s, int r) {
  if constexpr (panels::kHasMinima<L>) return _mm512_setzero_si512();
  return _mm512_set1_epi32(minus_sum<L, R, Wide>(x, s, r) * (1 << L::kZeroPointShift));
}

// Sums of products with the high bytes of 16-bit inputs -> where those with the low bytes begin. For weights
// with an offset, the zero point is in their minima.
template <class L, int R>
__m512i begin_low(__m512i high, const std::byte* x, size_t s, int r) {
  const __m512i sum = _mm512_slli_epi32(high, qr::kLowBits);
  if constexpr (L::kHasOffset || panels::kHasMinima<L>) return sum;
  return _mm512_add_epi32(sum, zero_point_term<L, R, true>(x, s, r));
}

// What row r's sums are multiplied with: the scales of the weights times that of the row's block. A 16-bit
// row has one scale for all blocks, which comes last.
template <int R, bool Wide>
__m512 with_row_scale(__m512 scales, const std::byte* x, int r) {
  if constexpr (Wide) return scales;
  return _mm512_mul_ps(_mm512_set1_ps(load_float(x + qr::scale_at(R) + 4 * r)), scales);
}

// acc minus the minima of scale group s times the sum of row r's inputs, as they are multiplied.
template <class L, int R, bool Wide>
__m512 subtract_minima(__m512 acc, __m512 minima, const std::byte* x, size_t s, int r) {
  const __m512 minus = _mm512_set1_ps(static_cast<float>(minus_sum<L, R, Wide>(x, s, r)));
  return _mm512_fmadd_ps(with_row_scale<R, Wide>(minus, x, r), minima, acc);
}

// Adds the integer products of scale group s, codes times one byte of each of R rows.
template <class L, int R, int P>
inline __attribute__((always_inline)) void add_group(const Block<L, P>* w, const std::byte* bytes, size_t s,
                                                     __m512i (&sums)[R][P]) {
  constexpr size_t kGroups = kInputGroups / L::kScaleGroups;
#pragma GCC unroll 8
  for (size_t g = s * kGroups; g < (s + 1) * kGroups; ++g) {
    __m512i weights[P];
#pragma GCC unroll 2
    for (int p = 0; p < P; ++p) weights[p] = _mm512_load_si512(w->codes[g][p]);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      const __m512i inputs = _mm512_set1_epi32(load_int(bytes + r * qr::kBlock + g * 4));
#pragma GCC unroll 2
      for (int p = 0; p < P; ++p) sums[r][p] = _mm512_dpbusd_epi32(sums[r][p], weights[p], inputs);
    }
  }
}

// acc += one block of R rows by P panels, but for the offsets. With 16-bit rows in units of their scale.
template <class L, int R, int P, bool Wide>
inline __attribute__((always_inline)) void add_block(const Block<L, P>* w, const std::byte* x,
                                                     __m512 (&acc)[R][P]) {
#pragma GCC unroll 2
  for (size_t s = 0; s < L::kScaleGroups; ++s) {
    __m512i sums[R][P];
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 2
      for (int p = 0; p < P; ++p) {
        sums[r][p] = Wide ? _mm512_setzero_si512() : zero_point_term<L, R, Wide>(x, s, r);
      }
    }
    add_group<L, R, P>(w, x, s, sums);
    if constexpr (Wide) {
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
#pragma GCC unroll 2
        for (int p = 0; p < P; ++p) sums[r][p] = begin_low<L, R>(sums[r][p], x, s, r);
      }
      add_group<L, R, P>(w, x + qr::low_at(R), s, sums);
    }
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 2
      for (int p = 0; p < P; ++p) {
        const __m512 scales = with_row_scale<R, Wide>(_mm512_load_ps(w->scales[s][p]), x, r);
        acc[r][p] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums[r][p]), scales, acc[r][p]);
        if constexpr (panels::kHasMinima<L>) {
          const __m512 minima = _mm512_loadu_ps(w->minima[s][p]);
          acc[r][p] = subtract_minima<L, R, Wide>(acc[r][p], minima, x, s, r);
        }
      }
    }
  }
}

// acc += the offsets of block b times the sums of its inputs; plain rows take two blocks in even ones.
template <class L, int R, int P, bool Wide>
inline __attribute__((always_inline)) void add_block_offsets(const Block<L, P>* w, size_t b,
                                                             const std::byte* x, __m512 (&acc)[R][P]) {
  if (!Wide && b % 2 == 1) return;
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
    const std::byte* sum = x + qr::sum_at(R, Wide) + 4 * r;
#pragma GCC unroll 2
    for (int p = 0; p < P; ++p) {
      if constexpr (Wide) {
        const __m512 minima = _mm512_load_ps(w->offsets[p]);
        acc[r][p] = _mm512_fmadd_ps(_mm512_set1_ps(load_float(sum)), minima, acc[r][p]);
      } else {
        acc[r][p] = add_offsets(acc[r][p], _mm512_load_si512(w->offsets[p]), load_int(sum));
      }
    }
  }
}

// R rows by P panels over n blocks. `row_scales` [R]: of 16-bit rows.
template <class L, int R, int P, bool Wide>
void tile(const Block<L, P>* w, size_t n, const std::byte* x, const float* row_scales, float* out,
          size_t ld_out, const __mmask16* masks, bool accumulate) {
  __m512 acc[R][P];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 2
    for (int p = 0; p < P; ++p) {
      acc[r][p] = accumulate && !Wide ? _mm512_maskz_loadu_ps(masks[p], out + r * ld_out + p * kOutputs)
                                      : _mm512_setzero_ps();
    }
  }
  for (size_t b = 0; b < n; ++b, ++w, x += R * qr::row_bytes(Wide)) {
    add_block<L, R, P, Wide>(w, x, acc);
    if constexpr (L::kHasOffset) add_block_offsets<L, R, P, Wide>(w, b, x, acc);
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 2
    for (int p = 0; p < P; ++p) {
      float* to = out + r * ld_out + p * kOutputs;
      __m512 sum = acc[r][p];
      if (Wide) sum = scaled(sum, row_scales[r], to, masks[p], accumulate);
      _mm512_mask_storeu_ps(to, masks[p], sum);
    }
  }
}

// Blocks that are unpacked at a time: what stays in the first-level cache beside the rows. A row of 16 bits
// is scaled at the end of each of these chunks, so where they end shows in the last bit of the result.
constexpr size_t kChunkBlocks = 20;

size_t chunk_blocks(size_t n_blocks) {
  const size_t n_chunks = (n_blocks + kChunkBlocks - 1) / kChunkBlocks;
  const size_t even = (n_blocks + n_chunks - 1) / n_chunks;
  return even + even % 2;  // a pair of offsets stays together
}

// The rows [begin, end), all of one kind, by a chunk of n blocks from `first` on.
template <class L, int P, bool Wide>
void rows_by_chunk(const Block<L, P>* chunk, size_t first, size_t n, const PackedRows& x, size_t begin,
                   size_t end, float* out, size_t ld_out, const __mmask16* masks, bool accumulate) {
  using Tile = void (*)(const Block<L, P>*, size_t, const std::byte*, const float*, float*, size_t,
                        const __mmask16*, bool);
  static constexpr Tile kTiles[] = {tile<L, 1, P, Wide>, tile<L, 2, P, Wide>, tile<L, 3, P, Wide>,
                                    tile<L, 4, P, Wide>, tile<L, 5, P, Wide>, tile<L, 6, P, Wide>};
  static_assert(std::size(kTiles) == kTileRows);
  for (size_t r = begin; r < end; r += kTileRows) {
    const size_t n_here = std::min(kTileRows, end - r);
    const std::byte* rows = x.bytes.data() + qr::block_at(x, r, n_here, Wide, first);
    kTiles[n_here - 1](chunk, n, rows, x.scales.data() + r, out + r * ld_out, ld_out, masks, accumulate);
  }
}

template <class L, int P>
void blocked(const std::byte* panel, size_t panel_bytes, const PackedRows& x, float* out, size_t ld_out,
             const __mmask16* masks, bool accumulate) {
  Block<L, P> chunk[kChunkBlocks];
  const size_t n_blocks = x.n_in / qr::kBlock;
  const size_t step = chunk_blocks(n_blocks);
  for (size_t first = 0; first < n_blocks; first += step) {
    const size_t n = std::min(step, n_blocks - first);
    const bool add = accumulate || first > 0;
    if (x.n_plain > 0) {
      unpack<L, P, false>(panel, panel_bytes, first, n, n_blocks, chunk);
      rows_by_chunk<L, P, false>(chunk, first, n, x, 0, x.n_plain, out, ld_out, masks, add);
    }
    if (x.n_plain < x.n_rows) {
      unpack<L, P, true>(panel, panel_bytes, first, n, n_blocks, chunk);
      rows_by_chunk<L, P, true>(chunk, first, n, x, x.n_plain, x.n_rows, out, ld_out, masks, add);
    }
  }
}

// The integer sums of scale group s over a block of R rows by one packed block. Those of both bytes of 16-bit
// rows at once, for the codes are unpacked on the way.
template <class L, int R, bool Wide>
inline __attribute__((always_inline)) void sum_packed(const std::byte* block, const std::byte* x, size_t s,
                                                      __m512i (&sums)[R]) {
  constexpr size_t kGroups = kInputGroups / L::kScaleGroups;
  __m512i low[R];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
    sums[r] = Wide ? _mm512_setzero_si512() : zero_point_term<L, R, Wide>(x, s, r);
    if constexpr (Wide) low[r] = begin_low<L, R>(sums[r], x, s, r);
  }
#pragma GCC unroll 8
  for (size_t g = s * kGroups; g < (s + 1) * kGroups; ++g) {
    const __m512i weights = group_codes<L>(block, static_cast<int>(g));
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      const std::byte* inputs = x + r * qr::kBlock + g * 4;
      sums[r] = _mm512_dpbusd_epi32(sums[r], weights, _mm512_set1_epi32(load_int(inputs)));
      if constexpr (Wide) {
        low[r] = _mm512_dpbusd_epi32(low[r], weights, _mm512_set1_epi32(load_int(inputs + qr::low_at(R))));
      }
    }
  }
  if constexpr (Wide) {
    for (int r = 0; r < R; ++r) sums[r] = _mm512_add_epi32(_mm512_slli_epi32(sums[r], qr::kLowBits), low[r]);
  }
}

// R rows of one kind by n blocks of one panel from `first` on, straight from the packed bytes.
template <class L, int R, bool Wide>
inline __attribute__((always_inline)) void stream_blocks(const std::byte* block, const std::byte* x,
                                                         size_t first, size_t n, size_t n_blocks,
                                                         __m512 (&acc)[R]) {
  for (size_t b = first; b < first + n; ++b, block += L::kBlockBytes, x += R * qr::row_bytes(Wide)) {
#pragma GCC unroll 2
    for (size_t s = 0; s < L::kScaleGroups; ++s) {
      __m512i sums[R];
      sum_packed<L, R, Wide>(block, x, s, sums);
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
        const __m512 scales = with_row_scale<R, Wide>(group_scales<L>(block, s), x, r);
        acc[r] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums[r]), scales, acc[r]);
        if constexpr (panels::kHasMinima<L>) {
          acc[r] = subtract_minima<L, R, Wide>(acc[r], group_minima<L>(block, s), x, s, r);
        }
      }
    }
    if constexpr (L::kHasOffset) {
      if (Wide) {
        const __m512 weights = minima_of_offsets<L>(block);
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r)
          acc[r] =
              _mm512_fmadd_ps(_mm512_set1_ps(load_float(x + qr::sum_at(R, Wide) + 4 * r)), weights, acc[r]);
      } else if (b % 2 == 0) {
        const __m512i offsets = offset_pairs<L>(block, b + 1 < n_blocks);
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r)
          acc[r] = add_offsets(acc[r], offsets, load_int(x + qr::sum_at(R, Wide) + 4 * r));
      }
    }
  }
}

// R rows of one kind by one panel: for the few rows of a decode step, whose time is that of reading the
// weights. In the chunks of `blocked`, whose ends show in the last bit.
template <class L, int R, bool Wide>
void streamed(const std::byte* panel, const std::byte* x, const float* row_scales, size_t n_blocks,
              float* out, size_t ld_out, __mmask16 mask, bool accumulate) {
  const size_t step = chunk_blocks(n_blocks);
  for (size_t first = 0; first < n_blocks; first += step) {
    const bool add = accumulate || first > 0;
    __m512 acc[R];
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r)
      acc[r] = add && !Wide ? _mm512_maskz_loadu_ps(mask, out + r * ld_out) : _mm512_setzero_ps();
    stream_blocks<L, R, Wide>(panel + first * L::kBlockBytes, x + first * R * qr::row_bytes(Wide), first,
                              std::min(step, n_blocks - first), n_blocks, acc);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      float* to = out + r * ld_out;
      _mm512_mask_storeu_ps(to, mask, Wide ? scaled(acc[r], row_scales[r], to, mask, add) : acc[r]);
    }
  }
}

// Up to this many rows the time is that of reading the weights, and `blocked` would not overlap it with the
// products: it unpacks first. A second tile of rows finds the panel in the cache.
constexpr size_t kStreamedRows = 2 * kTileRows;

__mmask16 mask_of(size_t n) {
  return static_cast<__mmask16>(n >= 16 ? 0xFFFF : (1U << n) - 1);
}

// The rows [begin, end), all of one kind, by one panel.
template <class L, bool Wide>
void stream_rows(const std::byte* panel, const PackedRows& x, size_t begin, size_t end, float* out,
                 size_t ld_out, __mmask16 mask, bool accumulate) {
  using Streamed =
      void (*)(const std::byte*, const std::byte*, const float*, size_t, float*, size_t, __mmask16, bool);
  static constexpr Streamed kStreamed[] = {streamed<L, 1, Wide>, streamed<L, 2, Wide>, streamed<L, 3, Wide>,
                                           streamed<L, 4, Wide>, streamed<L, 5, Wide>, streamed<L, 6, Wide>};
  static_assert(std::size(kStreamed) == kTileRows);
  for (size_t r = begin; r < end; r += kTileRows) {
    const size_t n_here = std::min(kTileRows, end - r);
    const std::byte* rows = x.bytes.data() + qr::block_at(x, r, n_here, Wide, 0);
    kStreamed[n_here - 1](panel, rows, x.scales.data() + r, x.n_in / qr::kBlock, out + r * ld_out, ld_out,
                          mask, accumulate);
  }
}

template <class L>
void run(const PackedMatrix& w, const PackedRows& x, size_t out_begin, size_t out_end, float* out,
         size_t ld_out, bool accumulate) {
  const size_t panel_bytes = w.n_in / qr::kBlock * L::kBlockBytes;
  const std::byte* panels = w.bytes.data();
  if (x.n_rows <= kStreamedRows) {
    for (size_t o = out_begin; o < out_end; o += kOutputs) {
      const std::byte* panel = panels + o / kOutputs * panel_bytes;
      const __mmask16 mask = mask_of(out_end - o);
      stream_rows<L, false>(panel, x, 0, x.n_plain, out + o, ld_out, mask, accumulate);
      stream_rows<L, true>(panel, x, x.n_plain, x.n_rows, out + o, ld_out, mask, accumulate);
    }
    return;
  }
  for (size_t o = out_begin; o < out_end; o += 2 * kOutputs) {
    const size_t n = out_end - o;
    const __mmask16 masks[2] = {mask_of(n), n > kOutputs ? mask_of(n - kOutputs) : __mmask16{0}};
    const std::byte* panel = panels + o / kOutputs * panel_bytes;
    if (n > kOutputs) {
      blocked<L, 2>(panel, panel_bytes, x, out + o, ld_out, masks, accumulate);
    } else {
      blocked<L, 1>(panel, panel_bytes, x, out + o, ld_out, masks, accumulate);
    }
  }
}

}  // namespace

void matmul(const PackedMatrix& w, const PackedRows& x, size_t out_begin, size_t out_end, float* out,
            size_t ld_out, bool accumulate) {
  if (x.n_rows == 0) return;
  const auto with = [&](auto layout) {
    run<decltype(layout)>(w, x, out_begin, out_end, out, ld_out, accumulate);
  };
  if (!panels::with_layout(w.layout, with)) matmul_floats(w, x, out_begin, out_end, out, ld_out, accumulate);
}

}  // namespace lazyfill::avx512
