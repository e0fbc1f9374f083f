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

// Input group g of a packed block as 8-bit codes [16 outputs][4 inputs].
template <int Bits>
__m512i group_codes(const std::byte* block, int g) {
  if constexpr (Bits == 8) return load(block + g * kGroupBytes);
  __m512i low = load(block + g % 4 * kGroupBytes);
  if (g >= 4) low = _mm512_srli_epi16(low, 4);
  low = _mm512_and_si512(low, _mm512_set1_epi8(0xF));
  if constexpr (Bits == 5) {
    const __mmask64 high =
        _mm512_test_epi8_mask(load(block + 256), _mm512_set1_epi8(static_cast<char>(1 << g)));
    return _mm512_mask_add_epi8(low, high, low, _mm512_set1_epi8(16));
  }
  if constexpr (Bits == 6) {
    const __m512i pairs = load(block + 256 + g / 4 * kGroupBytes);
    const int shift = 4 - g % 4 * 2;
    const __m512i high = shift >= 0 ? _mm512_slli_epi16(pairs, static_cast<unsigned>(shift))
                                    : _mm512_srli_epi16(pairs, static_cast<unsigned>(-shift));
    return _mm512_or_si512(low, _mm512_and_si512(high, _mm512_set1_epi8(0x30)));
  }
  return low;
}

template <class L>
__m512 group_scales(const std::byte* block, size_t scale_group) {
  const std::byte* from = block + L::kScalesAt + scale_group * kOutputs * 2;
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
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

// A block of P panels ready for the register tile: what `unpack` makes once and all rows use.
template <class L, int P>
struct alignas(64) Block {
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
      for (int g = 0; g < 8; ++g) _mm512_store_si512(to[b].codes[g][p], group_codes<L::kBits>(block, g));
      for (size_t s = 0; s < L::kScaleGroups; ++s)
        _mm512_store_ps(to[b].scales[s][p], group_scales<L>(block, s));
      if constexpr (L::kHasOffset) {
        if (b % 2 == 0) {
          _mm512_store_si512(to[b].offsets[p], offset_pairs<L>(block, first + b + 1 < n_blocks));
        }
      }
    }
  }
}

// Minus the zero point times the sum of row r's inputs of scale group s: where the sums begin.
template <class L, int R>
__m512i zero_point_term(const std::byte* x, size_t s, int r, bool low) {
  const std::byte* whole = x + (low ? qr::low_minus_at(R) : qr::minus_at(R)) + 4 * r;
  const std::byte* first_half = x + (low ? qr::low_minus_lo_at(R) : qr::minus_lo_at(R)) + 4 * r;
  int32_t minus = load_int(L::kScaleGroups == 1 ? whole : first_half);
  if (s == 1) minus = load_int(whole) - minus;
  return _mm512_set1_epi32(minus * (1 << L::kZeroPointShift));
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
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r) {
    sums[r] = zero_point_term<L, R>(x, s, r, false);
    if constexpr (Wide) low[r] = zero_point_term<L, R>(x, s, r, true);
  }
#pragma GCC unroll 8
  for (size_t g = s * kGroups; g < (s + 1) * kGroups; ++g) {
    const __m512i weights = group_codes<L::kBits>(block, static_cast<int>(g));
#pragma GCC unroll 4
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
#pragma GCC unroll 4
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
#pragma GCC unroll 4
      for (int r = 0; r < R; ++r) {
        const __m512 scale = _mm512_set1_ps(load_float(rows + qr::scale_at(R) + 4 * r));
        const __m512 scales = _mm512_mul_ps(scale, group_scales<L>(block, s));
        acc[r] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums[r]), scales, acc[r]);
      }
    }
    if constexpr (L::kHasOffset) {
      if (b % 2 == 0) {
        const __m512i offsets = offset_pairs<L>(block, b + 1 < n_blocks);
#pragma GCC unroll 4
        for (int r = 0; r < R; ++r)
          acc[r] = add_offsets(acc[r], offsets, load_int(rows + qr::sum_at(R) + 4 * r));
      }
    }
  }
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r) _mm512_mask_storeu_ps(out + r * ld_out, mask, acc[r]);
}

// Up to this many rows the unpacking of `blocked` would cost more than it saves.
constexpr size_t kStreamedRows = 3;

__mmask16 mask_of(size_t n) {
  return static_cast<__mmask16>(n >= 16 ? 0xFFFF : (1U << n) - 1);
}

template <class L>
void run(const PackedMatrix& w, const PackedRows& x, size_t out_begin, size_t out_end, float* out,
         size_t ld_out, bool accumulate) {
  using Streamed = void (*)(const std::byte*, qr::TileView, size_t, float*, size_t, __mmask16, bool);
  static constexpr Streamed kStreamed[] = {streamed<L, 1>, streamed<L, 2>, streamed<L, 3>};
  static_assert(std::size(kStreamed) == kStreamedRows);
  const size_t n_blocks = w.n_in / qr::kBlock;
  const size_t panel_bytes = n_blocks * L::kBlockBytes;
  const std::byte* panels = w.bytes.data();
  if (x.n_rows <= kStreamedRows) {
    const qr::TileView rows = qr::tile_view(x, kTileRows, 0, 0);
    for (size_t o = out_begin; o < out_end; o += kOutputs) {
      kStreamed[x.n_rows - 1](panels + o / kOutputs * panel_bytes, rows, n_blocks, out + o, ld_out,
                              mask_of(out_end - o), accumulate);
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
  switch (w.layout) {
    case panels::kU4:
      return with(panels::U4{});
    case panels::kU4Offset:
      return with(panels::U4Offset{});
    case panels::kU5:
      return with(panels::U5{});
    case panels::kU5Offset:
      return with(panels::U5Offset{});
    case panels::kU6:
      return with(panels::U6{});
    case panels::kU8:
      return with(panels::U8{});
    default:
      return matmul_floats(w, x, out_begin, out_end, out, ld_out, accumulate);
  }
}

}  // namespace lazyfill::avx512
