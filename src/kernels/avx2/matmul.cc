#include "kernels/avx2/matmul.h"

#include <immintrin.h>

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "kernels/avx2/panel_blocks.h"
#include "kernels/panels.h"
#include "kernels/quantized_rows.h"

// Products of unsigned codes and signed inputs are summed in 16 bits as long as nothing can saturate, then
// widened. Every element of the result sees the same operations in the same order whichever path computes it:
// a row's result does not depend on how many rows it is computed with.
namespace lazyfill::avx2 {
namespace {

namespace qr = quantized_rows;
using panels::kInputGroups;

// Bytes are multiplied in planes, whose results are added with a weight of 16^plane: codes of 8 bits as two
// planes of nibbles. `kDepth` input groups of a plane are summed in 16 bits: codes of b bits times inputs
// down to -128, two a lane and group, give at most (2^b - 1) * 128 * 2 * kDepth < 2^15.
template <class L>
struct Planes {
  static constexpr int kPlaneBits = L::kBits == 8 ? 4 : std::max(4, L::kBits);
  static constexpr size_t kPlanes = L::kBits == 8 ? 2 : 1;
  static constexpr size_t kDepth = size_t{8} >> (kPlaneBits - 4);
  static_assert(((1 << kPlaneBits) - 1) * 128 * 2 * static_cast<int>(kDepth) < (1 << 15));
};

// Eight outputs (half 0 or 1) of input group g of a plane, from a packed block.
template <class L>
inline __attribute__((always_inline)) __m256i plane_codes(const std::byte* block, size_t plane, int g,
                                                          int half) {
  const __m256i codes = group_codes<L>(block, g, half);
  return L::kBits == 8 ? shifted(codes, plane == 0 ? 0 : -4, 0xF) : codes;
}

// Inputs 0 and 2 (part 0) or 1 and 3 of a group's codes as pairs of 16 bits.
inline __m256i wide_codes(__m256i bytes, int part) {
  return part == 0 ? _mm256_and_si256(bytes, _mm256_set1_epi16(0xFF)) : _mm256_srli_epi16(bytes, 8);
}

// The weight of code 0 is multiplied with the sum of inputs of a block, or of a scale group.
template <class L>
constexpr size_t kMinimaGroups = panels::kHasMinima<L> ? L::kScaleGroups : 1;
// Whether it is: otherwise the zero point is subtracted from the integer sums.
template <class L>
constexpr bool kStartsAtZero = L::kHasOffset || panels::kHasMinima<L>;

// A block of one panel ready for the register tile: what `unpack` makes once and all rows use.
template <class L>
struct alignas(64) Block {
  uint8_t codes[Planes<L>::kPlanes][kInputGroups][2][32];
  float scales[L::kScaleGroups][2][8];
  float minima[kMinimaGroups<L>][2][8];  // only for weights with an offset or minima
};

// The same for rows of 16 bits.
template <class L>
struct alignas(64) WideBlock {
  uint16_t codes[kInputGroups][2][2][16];  // [group][part][half]
  float scales[L::kScaleGroups][2][8];
  float minima[kMinimaGroups<L>][2][8];
};

void put_codes(const __m256i codes, void* to) {
  _mm256_store_si256(reinterpret_cast<__m256i*>(to), codes);
}

template <class L>
void unpack_codes(const std::byte* block, int half, Block<L>* to) {
  for (size_t plane = 0; plane < Planes<L>::kPlanes; ++plane) {
#pragma GCC unroll 8
    for (int g = 0; g < 8; ++g) put_codes(plane_codes<L>(block, plane, g, half), to->codes[plane][g][half]);
  }
}

template <class L>
void unpack_codes(const std::byte* block, int half, WideBlock<L>* to) {
#pragma GCC unroll 8
  for (int g = 0; g < 8; ++g) {
    const __m256i bytes = group_codes<L>(block, g, half);
    put_codes(wide_codes(bytes, 0), to->codes[g][0][half]);
    put_codes(wide_codes(bytes, 1), to->codes[g][1][half]);
  }
}

template <class L, class Unpacked>
void unpack(const std::byte* block, size_t n, Unpacked* to) {
  for (size_t b = 0; b < n; ++b, block += L::kBlockBytes, ++to) {
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) {
      unpack_codes(block, half, to);
      for (size_t s = 0; s < L::kScaleGroups; ++s) {
        _mm256_store_ps(to->scales[s][half], group_scales<L>(block, s, half));
      }
      for (size_t s = 0; kStartsAtZero<L> && s < kMinimaGroups<L>; ++s) {
        _mm256_store_ps(to->minima[s][half], minima<L>(block, s, half));
      }
    }
  }
}

// Where a block's operands come from: made ready by `unpack`, or straight from the packed bytes.
template <class L>
struct Unpacked {
  const Block<L>* block;
  __m256i codes(size_t plane, int g, int half) const {
    return _mm256_load_si256(reinterpret_cast<const __m256i*>(block->codes[plane][g][half]));
  }
  __m256 scales(size_t s, int half) const { return _mm256_load_ps(block->scales[s][half]); }
  __m256 minimum(size_t s, int half) const { return _mm256_load_ps(block->minima[s][half]); }
  void next() { ++block; }
};
template <class L>
struct UnpackedWide {
  const WideBlock<L>* block;
  __m256i pairs(int g, int part, int half) const {
    return _mm256_load_si256(reinterpret_cast<const __m256i*>(block->codes[g][part][half]));
  }
  __m256 scales(size_t s, int half) const { return _mm256_load_ps(block->scales[s][half]); }
  __m256 minimum(size_t s, int half) const { return _mm256_load_ps(block->minima[s][half]); }
  void next() { ++block; }
};
template <class L>
struct Packed {
  const std::byte* block;
  __m256i codes(size_t plane, int g, int half) const { return plane_codes<L>(block, plane, g, half); }
  __m256i pairs(int g, int part, int half) const { return wide_codes(group_codes<L>(block, g, half), part); }
  __m256 scales(size_t s, int half) const { return group_scales<L>(block, s, half); }
  __m256 minimum(size_t s, int half) const { return minima<L>(block, s, half); }
  void next() { block += L::kBlockBytes; }
};

__m256i broadcast(const std::byte* from) {
  int32_t value;
  std::memcpy(&value, from, 4);
  return _mm256_set1_epi32(value);
}

// Adds the integer products of scale group s, codes times the bytes of R plain rows.
template <class L, int R, class Source>
inline __attribute__((always_inline)) void add_group(const Source& w, const std::byte* x, size_t s,
                                                     __m256i (&sums)[R][2]) {
  constexpr size_t kGroups = kInputGroups / L::kScaleGroups;
  constexpr size_t kDepth = std::min(Planes<L>::kDepth, kGroups);
#pragma GCC unroll 2
  for (size_t plane = 0; plane < Planes<L>::kPlanes; ++plane) {
    // The second plane loads the inputs again: kept from the first, they would not leave registers for the
    // sums.
    if (plane > 0) asm volatile("" ::: "memory");
    const __m256i weight = _mm256_set1_epi16(plane == 0 ? 1 : 16);
#pragma GCC unroll 2
    for (size_t begin = s * kGroups; begin < (s + 1) * kGroups; begin += kDepth) {
      __m256i narrow[R][2];
#pragma GCC unroll 8
      for (size_t g = begin; g < begin + kDepth; ++g) {
        const __m256i lo = w.codes(plane, static_cast<int>(g), 0);
        const __m256i hi = w.codes(plane, static_cast<int>(g), 1);
#pragma GCC unroll 4
        for (int v = 0; v < R; ++v) {
          const __m256i inputs = broadcast(x + v * qr::kBlock + g * 4);
          const __m256i products_lo = _mm256_maddubs_epi16(lo, inputs);
          const __m256i products_hi = _mm256_maddubs_epi16(hi, inputs);
          narrow[v][0] = g == begin ? products_lo : _mm256_add_epi16(narrow[v][0], products_lo);
          narrow[v][1] = g == begin ? products_hi : _mm256_add_epi16(narrow[v][1], products_hi);
        }
      }
#pragma GCC unroll 4
      for (int v = 0; v < R; ++v) {
#pragma GCC unroll 2
        for (int half = 0; half < 2; ++half) {
          sums[v][half] = _mm256_add_epi32(sums[v][half], _mm256_madd_epi16(narrow[v][half], weight));
        }
      }
    }
  }
}

// The same for 16-bit rows, pairs of inputs at a time.
template <class L, int R, class Source>
inline __attribute__((always_inline)) void add_wide_group(const Source& w, const std::byte* x, size_t s,
                                                          __m256i (&sums)[R][2]) {
  constexpr size_t kGroups = kInputGroups / L::kScaleGroups;
#pragma GCC unroll 8
  for (size_t g = s * kGroups; g < (s + 1) * kGroups; ++g) {
#pragma GCC unroll 2
    for (int part = 0; part < 2; ++part) {
      const __m256i lo = w.pairs(static_cast<int>(g), part, 0);
      const __m256i hi = w.pairs(static_cast<int>(g), part, 1);
#pragma GCC unroll 4
      for (int r = 0; r < R; ++r) {
        const __m256i inputs = broadcast(x + r * qr::code_bytes(true) + g * 8 + part * 4);
        sums[r][0] = _mm256_add_epi32(sums[r][0], _mm256_madd_epi16(lo, inputs));
        sums[r][1] = _mm256_add_epi32(sums[r][1], _mm256_madd_epi16(hi, inputs));
      }
    }
  }
}

// Minus the sum of row r's codes of scale group s.
template <class L, int R, bool Wide>
__m256i minus_sum(const std::byte* x, size_t s, int r) {
  const __m256i whole = broadcast(x + qr::minus_at(R, Wide) + 4 * r);
  const __m256i first_half = broadcast(x + qr::minus_lo_at(R, Wide) + 4 * r);
  if (s == 1) return _mm256_sub_epi32(whole, first_half);
  return L::kScaleGroups == 1 ? whole : first_half;
}

// The zero point times that: where the sums begin.
template <class L, int R, bool Wide>
__m256i zero_point_term(const std::byte* x, size_t s, int r) {
  if (kStartsAtZero<L>) return _mm256_setzero_si256();
  return _mm256_slli_epi32(minus_sum<L, R, Wide>(x, s, r), L::kZeroPointShift);
}

// What row r's sums are multiplied with: the scales of the weights times that of the row's block. A 16-bit
// row has one scale for all blocks, which comes last.
template <int R, bool Wide>
__m256 with_row_scale(__m256 scales, const std::byte* x, int r) {
  if constexpr (Wide) return scales;
  return _mm256_mul_ps(_mm256_castsi256_ps(broadcast(x + qr::scale_at(R) + 4 * r)), scales);
}

// The sum of row r's inputs that the weight of code 0 is multiplied with: of a block, or of scale group s.
template <class L, int R, bool Wide>
__m256 sum_of_inputs(const std::byte* x, size_t s, int r) {
  if constexpr (L::kHasOffset) return _mm256_castsi256_ps(broadcast(x + qr::sum_at(R, Wide) + 4 * r));
  const __m256i sum = _mm256_sub_epi32(_mm256_setzero_si256(), minus_sum<L, R, Wide>(x, s, r));
  return with_row_scale<R, Wide>(_mm256_cvtepi32_ps(sum), x, r);
}

// acc += one block of R rows by one panel; with 16-bit rows in units of their scale.
template <class L, int R, bool Wide, class Source>
inline __attribute__((always_inline)) void add_block(const Source& w, const std::byte* x,
                                                     __m256 (&acc)[R][2]) {
#pragma GCC unroll 2
  for (size_t s = 0; s < L::kScaleGroups; ++s) {
    __m256i sums[R][2];
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) sums[r][0] = sums[r][1] = zero_point_term<L, R, Wide>(x, s, r);
    if constexpr (Wide) {
      add_wide_group<L, R>(w, x, s, sums);
    } else {
      add_group<L, R>(w, x, s, sums);
    }
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 2
      for (int half = 0; half < 2; ++half) {
        const __m256 scales = with_row_scale<R, Wide>(w.scales(s, half), x, r);
        acc[r][half] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums[r][half]), scales, acc[r][half]);
        if constexpr (kStartsAtZero<L>) {
          const __m256 sum = sum_of_inputs<L, R, Wide>(x, s, r);
          acc[r][half] = _mm256_fmadd_ps(sum, w.minimum(s, half), acc[r][half]);
        }
      }
    }
  }
}

// R rows by one panel over n blocks; the first n_out outputs of the panel are there. `row_scales` [R]: of
// 16-bit rows.
template <class L, int R, bool Wide, class Source>
void tile(Source w, size_t n, const std::byte* x, const float* row_scales, float* out, size_t ld_out,
          size_t n_out, bool accumulate) {
  // A whole panel's outputs are used where they lie; those of a part of one go by way of memory that has
  // room.
  alignas(32) float part[R][kOutputs];
  const bool is_whole = n_out == kOutputs;
  float* const to = is_whole ? out : part[0];
  const size_t ld = is_whole ? ld_out : kOutputs;
  for (int r = 0; r < R && !is_whole; ++r) {
    std::fill_n(part[r], kOutputs, 0.0F);
    if (accumulate) std::copy_n(out + r * ld_out, n_out, part[r]);
  }
  __m256 acc[R][2];
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) {
      acc[r][half] = Wide || !accumulate ? _mm256_setzero_ps() : _mm256_loadu_ps(to + r * ld + half * 8);
    }
  }
  for (size_t b = 0; b < n; ++b, w.next(), x += R * qr::row_bytes(Wide)) add_block<L, R, Wide>(w, x, acc);
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) {
      float* at = to + r * ld + half * 8;
      if (Wide) {
        const __m256 before = accumulate ? _mm256_loadu_ps(at) : _mm256_setzero_ps();
        acc[r][half] = _mm256_fmadd_ps(acc[r][half], _mm256_set1_ps(row_scales[r]), before);
      }
      _mm256_storeu_ps(at, acc[r][half]);
    }
  }
  for (int r = 0; r < R && !is_whole; ++r) std::copy_n(part[r], n_out, out + r * ld_out);
}

// The rows [begin, end), all of one kind, by n blocks of a panel from `first` on.
template <class L, bool Wide, class Source>
void rows_by_blocks(Source w, size_t first, size_t n, const PackedRows& x, size_t begin, size_t end,
                    float* out, size_t ld_out, size_t n_out, bool accumulate) {
  using Tile = void (*)(Source, size_t, const std::byte*, const float*, float*, size_t, size_t, bool);
  static constexpr Tile kTiles[] = {tile<L, 1, Wide, Source>, tile<L, 2, Wide, Source>,
                                    tile<L, 3, Wide, Source>, tile<L, 4, Wide, Source>};
  static_assert(std::size(kTiles) == kTileRows);
  for (size_t r = begin; r < end; r += kTileRows) {
    const size_t n_here = std::min(kTileRows, end - r);
    const std::byte* rows = x.bytes.data() + qr::block_at(x, r, n_here, Wide, first);
    kTiles[n_here - 1](w, n, rows, x.scales.data() + r, out + r * ld_out, ld_out, n_out, accumulate);
  }
}

// Bytes of blocks that are unpacked at a time: what stays in the first-level cache beside the rows.
constexpr size_t kChunkBytes = 20736;

template <class L, bool Wide>
using Made = std::conditional_t<Wide, WideBlock<L>, Block<L>>;
template <class L, bool Wide>
inline constexpr size_t kChunkBlocks = std::min<size_t>(32, kChunkBytes / sizeof(Made<L, Wide>));

// Calls fn(first, n, accumulate) for the chunks of a row's blocks. A row of 16 bits is scaled at the end of
// each, so where they end shows in the last bit of the result.
template <class L, bool Wide, class Fn>
void for_each_chunk(size_t n_blocks, bool accumulate, Fn fn) {
  const size_t n_chunks = (n_blocks + kChunkBlocks<L, Wide> - 1) / kChunkBlocks<L, Wide>;
  for (size_t c = 0; c < n_chunks; ++c) {
    const size_t first = n_blocks * c / n_chunks;
    fn(first, n_blocks * (c + 1) / n_chunks - first, accumulate || c > 0);
  }
}

// The rows [begin, end), all of one kind, by one panel.
template <class L, bool Wide>
void blocked(const std::byte* panel, const PackedRows& x, size_t begin, size_t end, float* out, size_t ld_out,
             size_t n_out, bool accumulate) {
  using Source = std::conditional_t<Wide, UnpackedWide<L>, Unpacked<L>>;
  if (begin == end) return;
  Made<L, Wide> chunk[kChunkBlocks<L, Wide>];
  for_each_chunk<L, Wide>(x.n_in / qr::kBlock, accumulate, [&](size_t first, size_t n, bool add) {
    unpack<L>(panel + first * L::kBlockBytes, n, chunk);
    rows_by_blocks<L, Wide>(Source{chunk}, first, n, x, begin, end, out, ld_out, n_out, add);
  });
}

// Up to this many rows the weights are used straight from the packed bytes, once a tile of rows: the time is
// that of reading them, and `blocked` would not overlap it with the products.
constexpr size_t kStreamedRows = 2 * kTileRows;

template <class L>
void run(const PackedMatrix& w, const PackedRows& x, size_t out_begin, size_t out_end, float* out,
         size_t ld_out, bool accumulate) {
  const size_t n_blocks = w.n_in / qr::kBlock;
  for (size_t o = out_begin; o < out_end; o += kOutputs) {
    const std::byte* panel = w.bytes.data() + o / kOutputs * n_blocks * L::kBlockBytes;
    const size_t n_out = std::min(kOutputs, out_end - o);
    if (x.n_rows <= kStreamedRows) {
      const Packed<L> packed{panel};
      rows_by_blocks<L, false>(packed, 0, n_blocks, x, 0, x.n_plain, out + o, ld_out, n_out, accumulate);
      for_each_chunk<L, true>(n_blocks, accumulate, [&](size_t first, size_t n, bool add) {
        rows_by_blocks<L, true>(Packed<L>{panel + first * L::kBlockBytes}, first, n, x, x.n_plain, x.n_rows,
                                out + o, ld_out, n_out, add);
      });
    } else {
      blocked<L, false>(panel, x, 0, x.n_plain, out + o, ld_out, n_out, accumulate);
      blocked<L, true>(panel, x, x.n_plain, x.n_rows, out + o, ld_out, n_out, accumulate);
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

}  // namespace lazyfill::avx2
