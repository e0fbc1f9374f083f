#include "kernels/avx512/matmul.h"

#include <immintrin.h>

#include <algorithm>
#include <cstring>

#include "kernels/panels.h"
#include "kernels/quantized_rows.h"

// Every element of the result sees the same operations in the same order whichever path computes it: a row's
// result does not depend on how many rows it is computed with.
namespace lazyfill::avx512 {
namespace {

namespace qr = quantized_rows;
using panels::kGroupBytes;
using panels::kInputGroups;
using panels::kOutputs;

__m512i load(const std::byte* from) {
  return _mm512_loadu_si512(from);
}

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

// Bit pairs of input group g, at bits `to` and `to` + 1 of each byte; see panels.h.
__m512i pairs_at(const std::byte* pairs, int g, int to) {
  const __m512i all = load(pairs + g / 4 * kGroupBytes);
  const int shift = to - g % 4 * 2;
  const __m512i shifted = shift >= 0 ? _mm512_slli_epi16(all, static_cast<unsigned>(shift))
                                     : _mm512_srli_epi16(all, static_cast<unsigned>(-shift));
  return _mm512_and_si512(shifted, _mm512_set1_epi8(static_cast<char>(3 << to)));
}

// codes plus `value` where bit g of a byte is set.
__m512i add_bits(__m512i codes, const std::byte* bits, int g, char value) {
  const __mmask64 set = _mm512_test_epi8_mask(load(bits), _mm512_set1_epi8(static_cast<char>(1 << g)));
  return _mm512_mask_add_epi8(codes, set, codes, _mm512_set1_epi8(value));
}

// The table's weights as unsigned codes, four times side by side.
template <class L>
__m512i code_table() {
  const __m128i values = _mm_loadu_si128(reinterpret_cast<const __m128i*>(L::kTable));
  const __m128i zero_point = _mm_set1_epi8(static_cast<char>(1 << L::kZeroPointShift));
  return _mm512_broadcast_i32x4(_mm_add_epi8(values, zero_point));
}

// Input group g of a packed block as 8-bit codes [16 outputs][4 inputs].
template <class L>
__m512i group_codes(const std::byte* block, int g) {
  if constexpr (L::kStoredBits == 8) return load(block + g * kGroupBytes);
  if constexpr (L::kStoredBits == 2) return pairs_at(block, g, 0);
  if constexpr (L::kStoredBits == 3) return add_bits(pairs_at(block, g, 0), block + 128, g, 4);
  __m512i low = load(block + g % 4 * kGroupBytes);
  if (g >= 4) low = _mm512_srli_epi16(low, 4);
  low = _mm512_and_si512(low, _mm512_set1_epi8(0xF));
  if constexpr (panels::kHasTable<L>) return _mm512_shuffle_epi8(code_table<L>(), low);
  if constexpr (L::kStoredBits == 5) return add_bits(low, block + 256, g, 16);
  if constexpr (L::kStoredBits == 6) return _mm512_or_si512(low, pairs_at(block + 256, g, 4));
  return low;
}

__m512 load_half(const std::byte* from) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
}

// Scales of a group, and where a layout has them its minima (of Scales::kWithMinima).
template <class L>
__m512 group_scales(const std::byte* block, size_t scale_group) {
  const std::byte* scales = block + L::kScalesAt;
  if constexpr (L::kScales == panels::Scales::kHalf) return load_half(scales + scale_group * kOutputs * 2);
  if constexpr (L::kScales == panels::Scales::kBf16) {
    const auto* from = reinterpret_cast<const __m256i*>(scales + scale_group * kOutputs * 2);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256(from)), 16));
  }
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(scales + scale_group * kOutputs));
  __m512i numbers = _mm512_cvtepi8_epi32(bytes);
  if constexpr (panels::kHasMinima<L>) numbers = _mm512_and_si512(numbers, _mm512_set1_epi32(0xF));
  return _mm512_mul_ps(load_half(scales + L::kScaleGroups * kOutputs), _mm512_cvtepi32_ps(numbers));
}
template <class L>
__m512 group_minima(const std::byte* block, size_t scale_group) {
  const std::byte* scales = block + L::kScalesAt;
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(scales + scale_group * kOutputs));
  const __m512i numbers = _mm512_srli_epi32(_mm512_cvtepu8_epi32(bytes), 4);
  return _mm512_mul_ps(load_half(scales + (L::kScaleGroups + 2) * kOutputs), _mm512_cvtepi32_ps(numbers));
}

// The bf16 offsets of this block and the next (zeros where there is none), as the dot product takes them.
template <class L>
__m512i offset_pairs(const std::byte* block, bool has_next) {
  const auto half = [](const std::byte* from) {
    return _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
  };
  const __m512i first = half(block + L::kOffsetsAt);
  if (!has_next) return first;
  return _mm512_or_si512(first, _mm512_slli_epi32(half(block + L::kBlockBytes + L::kOffsetsAt), 16));
}

__m512 add_offsets(__m512 acc, __m512i offsets, int32_t sums) {
  return _mm512_dpbf16_ps(acc, reinterpret_cast<__m512bh>(offsets),
                          reinterpret_cast<__m512bh>(_mm512_set1_epi32(sums)));
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
  int32_t offsets[P][kOutputs];  // bf16 pairs: only for weights with an offset, and there in even blocks
};

template <class L, int P>
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
        if (b % 2 == 0) {
          _mm512_store_si512(to[b].offsets[p], offset_pairs<L>(block, first + b + 1 < n_blocks));
        }
      }
    }
  }
}

// Minus the sum of row r's codes of scale group s, or of their low bytes.
template <class L, int R>
int32_t minus_sum(const std::byte* x, size_t s, int r, bool low) {
  const std::byte* whole = x + (low ? qr::low_minus_at(R) : qr::minus_at(R)) + 4 * r;
  const std::byte* first_half = x + (low ? qr::low_minus_lo_at(R) : qr::minus_lo_at(R)) + 4 * r;
  const int32_t minus = load_int(L::kScaleGroups == 1 ? whole : first_half);
  return s == 1 ? load_int(whole) - minus : minus;
}

// The zero point times that: where the sums begin. With minima the zero point is code 0.
template <class L, int R>
__m512i zero_point_term(const std::byte* x, size_t s, int r, bool low) {
  if constexpr (panels::kHasMinima<L>) return _mm512_setzero_si512();
  return _mm512_set1_epi32(minus_sum<L, R>(x, s, r, low) * (1 << L::kZeroPointShift));
}

// acc minus the group's minima times the sum of row r's inputs, as they are multiplied: in `scale`.
template <class L, int R, bool Wide>
__m512 subtract_minima(__m512 acc, __m512 minima, __m512 scale, const std::byte* x, size_t s, int r) {
  int32_t minus = minus_sum<L, R>(x, s, r, false);
  if constexpr (Wide) minus = minus * (1 << qr::kLowBits) + minus_sum<L, R>(x, s, r, true);
  const __m512 sum = _mm512_mul_ps(_mm512_set1_ps(static_cast<float>(minus)), scale);
  return _mm512_fmadd_ps(sum, minima, acc);
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

// acc += one block of R rows by P panels, but for the offsets.
template <class L, int R, int P, bool Wide>
inline __attribute__((always_inline)) void add_block(const Block<L, P>* w, const std::byte* x,
                                                     __m512 (&acc)[R][P]) {
#pragma GCC unroll 2
  for (size_t s = 0; s < L::kScaleGroups; ++s) {
    __m512i sums[R][P];
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 2
      for (int p = 0; p < P; ++p) sums[r][p] = zero_point_term<L, R>(x, s, r, false);
    }
    add_group<L, R, P>(w, x, s, sums);
    if constexpr (Wide) {
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
        const __m512i low = zero_point_term<L, R>(x, s, r, true);
#pragma GCC unroll 2
        for (int p = 0; p < P; ++p)
          sums[r][p] = _mm512_add_epi32(_mm512_slli_epi32(sums[r][p], qr::kLowBits), low);
      }
      add_group<L, R, P>(w, x + qr::low_at(R), s, sums);
    }
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      const __m512 scale = _mm512_set1_ps(load_float(x + qr::scale_at(R) + 4 * r));
#pragma GCC unroll 2
      for (int p = 0; p < P; ++p) {
        const __m512 scales = _mm512_mul_ps(scale, _mm512_load_ps(w->scales[s][p]));
        acc[r][p] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums[r][p]), scales, acc[r][p]);
        if constexpr (panels::kHasMinima<L>) {
          const __m512 minima = _mm512_loadu_ps(w->minima[s][p]);
          acc[r][p] = subtract_minima<L, R, Wide>(acc[r][p], minima, scale, x, s, r);
        }
      }
    }
  }
}

// R rows by P panels over n blocks.
template <class L, int R, int P>
void tile(const Block<L, P>* w, size_t n, qr::TileView x, float* out, size_t ld_out, const __mmask16* masks,
          bool accumulate) {
  __m512 acc[R][P];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 2
    for (int p = 0; p < P; ++p) {
      acc[r][p] =
          accumulate ? _mm512_maskz_loadu_ps(masks[p], out + r * ld_out + p * kOutputs) : _mm512_setzero_ps();
    }
  }
  for (size_t b = 0; b < n; ++b, ++w) {
    const std::byte* block = x.block(b);
    if (x.is_wide(b, R)) {
      add_block<L, R, P, true>(w, block, acc);
    } else {
      add_block<L, R, P, false>(w, block, acc);
    }
    if constexpr (L::kHasOffset) {
      if (b % 2 == 0) {
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) {
          const int32_t pair = load_int(block + qr::sum_at(R) + 4 * r);
#pragma GCC unroll 2
          for (int p = 0; p < P; ++p) {
            acc[r][p] = add_offsets(acc[r][p], _mm512_load_si512(w->offsets[p]), pair);
          }
        }
      }
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 2
    for (int p = 0; p < P; ++p) _mm512_mask_storeu_ps(out + r * ld_out + p * kOutputs, masks[p], acc[r][p]);
  }
}

// Blocks that are unpacked at a time: what stays in the first-level cache beside the rows.
constexpr size_t kChunkBlocks = 20;

size_t chunk_blocks(size_t n_blocks) {
  const size_t n_chunks = (n_blocks + kChunkBlocks - 1) / kChunkBlocks;
  const size_t even = (n_blocks + n_chunks - 1) / n_chunks;
  return even + even % 2;  // a pair of offsets stays together
}

template <class L, int P>
void blocked(const std::byte* panel, size_t panel_bytes, const PackedRows& x, float* out, size_t ld_out,
             const __mmask16* masks, bool accumulate) {
  using Tile = void (*)(const Block<L, P>*, size_t, qr::TileView, float*, size_t, const __mmask16*, bool);
  static constexpr Tile kTiles[] = {tile<L, 1, P>, tile<L, 2, P>, tile<L, 3, P>,
                                    tile<L, 4, P>, tile<L, 5, P>, tile<L, 6, P>};
  static_assert(std::size(kTiles) == kTileRows);
  Block<L, P> chunk[kChunkBlocks];
  const size_t n_blocks = x.n_in / qr::kBlock;
  const size_t step = chunk_blocks(n_blocks);
  for (size_t first = 0; first < n_blocks; first += step) {
    const size_t n = std::min(step, n_blocks - first);
    unpack<L, P>(panel, panel_bytes, first, n, n_blocks, chunk);
    for (size_t r = 0; r < x.n_rows; r += kTileRows) {
      const size_t n_here = std::min(kTileRows, x.n_rows - r);
      const qr::TileView rows = qr::tile_view(x, kTileRows, r, first);
      kTiles[n_here - 1](chunk, n, rows, out + r * ld_out, ld_out, masks, accumulate || first > 0);
    }
  }
}

// The integer sums of scale group s over a block of R rows by one packed block, of both bytes where it is
// wide: at once, for the codes are unpacked on the way.
template <class L, int R, bool Wide>
inline __attribute__((always_inline)) void sum_packed(const std::byte* block, const std::byte* x, size_t s,
                                                      __m512i (&sums)[R]) {
  constexpr size_t kGroups = kInputGroups / L::kScaleGroups;
  __m512i low[R];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
    sums[r] = zero_point_term<L, R>(x, s, r, false);
    if constexpr (Wide) low[r] = zero_point_term<L, R>(x, s, r, true);
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

// R rows (all there are) by one panel, straight from the packed bytes: for the few rows of a decode step,
// whose time is that of reading the weights.
template <class L, int R>
void streamed(const std::byte* block, qr::TileView x, size_t n_blocks, float* out, size_t ld_out,
              __mmask16 mask, bool accumulate) {
  __m512 acc[R];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
    acc[r] = accumulate ? _mm512_maskz_loadu_ps(mask, out + r * ld_out) : _mm512_setzero_ps();
  }
  for (size_t b = 0; b < n_blocks; ++b, block += L::kBlockBytes) {
    const std::byte* rows = x.block(b);
#pragma GCC unroll 2
    for (size_t s = 0; s < L::kScaleGroups; ++s) {
      __m512i sums[R];
      if (x.is_wide(b, R)) {
        sum_packed<L, R, true>(block, rows, s, sums);
      } else {
        sum_packed<L, R, false>(block, rows, s, sums);
      }
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
        const __m512 scale = _mm512_set1_ps(load_float(rows + qr::scale_at(R) + 4 * r));
        const __m512 scales = _mm512_mul_ps(scale, group_scales<L>(block, s));
        acc[r] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums[r]), scales, acc[r]);
        if constexpr (panels::kHasMinima<L>) {
          const __m512 minima = group_minima<L>(block, s);
          acc[r] = x.is_wide(b, R) ? subtract_minima<L, R, true>(acc[r], minima, scale, rows, s, r)
                                   : subtract_minima<L, R, false>(acc[r], minima, scale, rows, s, r);
        }
      }
    }
    if constexpr (L::kHasOffset) {
      if (b % 2 == 0) {
        const __m512i offsets = offset_pairs<L>(block, b + 1 < n_blocks);
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r)
          acc[r] = add_offsets(acc[r], offsets, load_int(rows + qr::sum_at(R) + 4 * r));
      }
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) _mm512_mask_storeu_ps(out + r * ld_out, mask, acc[r]);
}

// Up to this many rows the time is that of reading the weights, and `blocked` would not overlap it with the
// products: it unpacks first. A second tile of rows finds the panel in the cache.
constexpr size_t kStreamedRows = 2 * kTileRows;

__mmask16 mask_of(size_t n) {
  return static_cast<__mmask16>(n >= 16 ? 0xFFFF : (1U << n) - 1);
}

template <class L>
void run(const PackedMatrix& w, const PackedRows& x, size_t out_begin, size_t out_end, float* out,
         size_t ld_out, bool accumulate) {
  using Streamed = void (*)(const std::byte*, qr::TileView, size_t, float*, size_t, __mmask16, bool);
  static constexpr Streamed kStreamed[] = {streamed<L, 1>, streamed<L, 2>, streamed<L, 3>,
                                           streamed<L, 4>, streamed<L, 5>, streamed<L, 6>};
  static_assert(std::size(kStreamed) == kTileRows);
  const size_t n_blocks = w.n_in / qr::kBlock;
  const size_t panel_bytes = n_blocks * L::kBlockBytes;
  const std::byte* panels = w.bytes.data();
  if (x.n_rows <= kStreamedRows) {
    for (size_t o = out_begin; o < out_end; o += kOutputs) {
      for (size_t r = 0; r < x.n_rows; r += kTileRows) {
        kStreamed[std::min(kTileRows, x.n_rows - r) - 1](
            panels + o / kOutputs * panel_bytes, qr::tile_view(x, kTileRows, r, 0), n_blocks,
            out + r * ld_out + o, ld_out, mask_of(out_end - o), accumulate);
      }
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
