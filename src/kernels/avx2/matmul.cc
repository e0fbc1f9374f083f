#include "kernels/avx2/matmul.h"

#include <immintrin.h>

#include <algorithm>
#include <cstring>

#include "kernels/panels.h"
#include "kernels/quantized_rows.h"

// Products of unsigned codes and signed inputs are summed in 16 bits as long as nothing can saturate, then
// widened. Every element of the result sees the same operations in the same order whichever path computes it:
// a row's result does not depend on how many rows it is computed with.
namespace lazyfill::avx2 {
namespace {

namespace qr = quantized_rows;
using panels::kGroupBytes;
using panels::kInputGroups;
using panels::kOutputs;

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

__m256i load(const std::byte* from) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
}

// The bytes shifted left by `shift` (right where it is negative), and only the bits of `mask` of them.
inline __attribute__((always_inline)) __m256i shifted(__m256i bytes, int shift, char mask) {
  const __m256i moved = shift >= 0 ? _mm256_slli_epi16(bytes, shift) : _mm256_srli_epi16(bytes, -shift);
  return _mm256_and_si256(moved, _mm256_set1_epi8(mask));
}

// The table's weights as unsigned codes, twice side by side.
template <class L>
__m256i code_table() {
  const __m128i values = _mm_loadu_si128(reinterpret_cast<const __m128i*>(L::kTable));
  const __m128i zero_point = _mm_set1_epi8(static_cast<char>(1 << L::kZeroPointShift));
  return _mm256_broadcastsi128_si256(_mm_add_epi8(values, zero_point));
}

// Eight outputs (half 0 or 1) of input group g, from a packed block, as codes of L::kBits.
template <class L>
inline __attribute__((always_inline)) __m256i group_codes(const std::byte* block, int g, int half) {
  const std::byte* at = block + half * 32;
  if constexpr (L::kStoredBits == 8) return load(at + g * kGroupBytes);
  if constexpr (L::kStoredBits < 4) {
    const __m256i pairs = shifted(load(at + g / 4 * kGroupBytes), -(g % 4 * 2), 3);
    if constexpr (L::kStoredBits == 2) return pairs;
    return _mm256_or_si256(pairs, shifted(load(at + 128), 2 - g, 4));
  }
  const __m256i low = shifted(load(at + g % 4 * kGroupBytes), g >= 4 ? -4 : 0, 0xF);
  if constexpr (panels::kHasTable<L>) return _mm256_shuffle_epi8(code_table<L>(), low);
  if constexpr (L::kStoredBits == 5) return _mm256_or_si256(low, shifted(load(at + 256), 4 - g, 0x10));
  if constexpr (L::kStoredBits == 6) {
    return _mm256_or_si256(low, shifted(load(at + 256 + g / 4 * kGroupBytes), 4 - g % 4 * 2, 0x30));
  }
  return low;
}

// The same of one plane.
template <class L>
inline __attribute__((always_inline)) __m256i plane_codes(const std::byte* block, size_t plane, int g,
                                                          int half) {
  const __m256i codes = group_codes<L>(block, g, half);
  return L::kBits == 8 ? shifted(codes, plane == 0 ? 0 : -4, 0xF) : codes;
}

__m256 load_half(const std::byte* from) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
}
__m256 load_bf16(const std::byte* from) {
  const __m128i bits = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
}
__m128i load_8_bytes(const std::byte* from) {
  return _mm_loadl_epi64(reinterpret_cast<const __m128i*>(from));
}

template <class L>
__m256 group_scales(const std::byte* block, size_t scale_group, int half) {
  const std::byte* scales = block + L::kScalesAt;
  const size_t output = half * 8;
  if constexpr (L::kScales == panels::Scales::kHalf) {
    return load_half(scales + (scale_group * kOutputs + output) * 2);
  }
  if constexpr (L::kScales == panels::Scales::kBf16) {
    return load_bf16(scales + (scale_group * kOutputs + output) * 2);
  }
  __m256i numbers = _mm256_cvtepi8_epi32(load_8_bytes(scales + scale_group * kOutputs + output));
  if constexpr (panels::kHasMinima<L>) numbers = _mm256_and_si256(numbers, _mm256_set1_epi32(0xF));
  const __m256 factors = load_half(scales + L::kScaleGroups * kOutputs + output * 2);
  return _mm256_mul_ps(factors, _mm256_cvtepi32_ps(numbers));
}

// The weight of code 0: what the sum of inputs is multiplied with, of the block or, where the layout has
// minima (Scales::kWithMinima), of a scale group.
template <class L>
__m256 minima(const std::byte* block, size_t scale_group, int half) {
  if constexpr (panels::kHasMinima<L>) {
    const std::byte* scales = block + L::kScalesAt;
    const __m128i bytes = load_8_bytes(scales + scale_group * kOutputs + half * 8);
    const __m256i numbers = _mm256_srli_epi32(_mm256_cvtepu8_epi32(bytes), 4);
    const __m256 factors = load_half(scales + (L::kScaleGroups + 2) * kOutputs + half * 16);
    const __m256 minima = _mm256_mul_ps(factors, _mm256_cvtepi32_ps(numbers));
    return _mm256_sub_ps(_mm256_setzero_ps(), minima);
  } else {
    const __m256 offsets = load_bf16(block + L::kOffsetsAt + half * 16);
    const __m256 zero_point = _mm256_set1_ps(1 << L::kZeroPointShift);
    return _mm256_fnmadd_ps(group_scales<L>(block, 0, half), zero_point, offsets);
  }
}

template <class L>
constexpr size_t kMinimaGroups = panels::kHasMinima<L> ? L::kScaleGroups : 1;
template <class L>
constexpr bool kStartsAtZero =
    L::kHasOffset || panels::kHasMinima<L>;  // and adds the weight of code 0 at the end

// A block of one panel ready for the register tile: what `unpack` makes once and all rows use.
template <class L>
struct alignas(64) Block {
  uint8_t codes[Planes<L>::kPlanes][kInputGroups][2][32];
  float scales[L::kScaleGroups][2][8];
  float minima[kMinimaGroups<L>][2][8];  // only for weights with an offset or minima
};

template <class L>
void unpack(const std::byte* block, size_t n, Block<L>* to) {
  for (size_t b = 0; b < n; ++b, block += L::kBlockBytes, ++to) {
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) {
      for (size_t plane = 0; plane < Planes<L>::kPlanes; ++plane) {
#pragma GCC unroll 8
        for (int g = 0; g < 8; ++g) {
          _mm256_store_si256(reinterpret_cast<__m256i*>(to->codes[plane][g][half]),
                             plane_codes<L>(block, plane, g, half));
        }
      }
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
struct Packed {
  const std::byte* block;
  __m256i codes(size_t plane, int g, int half) const { return plane_codes<L>(block, plane, g, half); }
  __m256 scales(size_t s, int half) const { return group_scales<L>(block, s, half); }
  __m256 minimum(size_t s, int half) const { return minima<L>(block, s, half); }
  void next() { block += L::kBlockBytes; }
};

__m256i broadcast(const std::byte* from) {
  int32_t value;
  std::memcpy(&value, from, 4);
  return _mm256_set1_epi32(value);
}

// Where a block of R rows has the bytes of its row v; from v = R on, those are the second ones of a wide
// block.
template <int R>
const std::byte* bytes_of(const std::byte* x, int v) {
  return v < R ? x + v * qr::kBlock : x + qr::low_at(R) + (v - R) * qr::kBlock;
}

// Adds the integer products of scale group s, codes times the bytes [First, First + N) of a block of R rows.
template <class L, int R, int First, int N, class Source>
inline __attribute__((always_inline)) void add_group(const Source& w, const std::byte* x, size_t s,
                                                     __m256i (&sums)[N][2]) {
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
      __m256i narrow[N][2];
#pragma GCC unroll 8
      for (size_t g = begin; g < begin + kDepth; ++g) {
        const __m256i lo = w.codes(plane, static_cast<int>(g), 0);
        const __m256i hi = w.codes(plane, static_cast<int>(g), 1);
#pragma GCC unroll 4
        for (int v = 0; v < N; ++v) {
          const __m256i inputs = broadcast(bytes_of<R>(x, First + v) + g * 4);
          const __m256i products_lo = _mm256_maddubs_epi16(lo, inputs);
          const __m256i products_hi = _mm256_maddubs_epi16(hi, inputs);
          narrow[v][0] = g == begin ? products_lo : _mm256_add_epi16(narrow[v][0], products_lo);
          narrow[v][1] = g == begin ? products_hi : _mm256_add_epi16(narrow[v][1], products_hi);
        }
      }
#pragma GCC unroll 4
      for (int v = 0; v < N; ++v) {
#pragma GCC unroll 2
        for (int half = 0; half < 2; ++half) {
          sums[v][half] = _mm256_add_epi32(sums[v][half], _mm256_madd_epi16(narrow[v][half], weight));
        }
      }
    }
  }
}

// Minus the sum of row r's codes of scale group s, or of their low bytes.
template <class L, int R>
__m256i minus_sum(const std::byte* x, size_t s, int r, bool low) {
  const std::byte* whole = x + (low ? qr::low_minus_at(R) : qr::minus_at(R)) + 4 * r;
  const std::byte* first_half = x + (low ? qr::low_minus_lo_at(R) : qr::minus_lo_at(R)) + 4 * r;
  const __m256i minus = broadcast(L::kScaleGroups == 1 ? whole : first_half);
  return s == 1 ? _mm256_sub_epi32(broadcast(whole), minus) : minus;
}

// The zero point times that: where the sums begin.
template <class L, int R>
__m256i zero_point_term(const std::byte* x, size_t s, int r, bool low) {
  if (kStartsAtZero<L>) return _mm256_setzero_si256();
  return _mm256_slli_epi32(minus_sum<L, R>(x, s, r, low), L::kZeroPointShift);
}

// The sum of row r's inputs that the weight of code 0 is multiplied with: of a block, or of scale group s.
template <class L, int R, bool Wide>
__m256 sum_of_inputs(const std::byte* x, size_t s, int r, __m256 scale) {
  if constexpr (L::kHasOffset) return _mm256_castsi256_ps(broadcast(x + qr::sum_at(R) + 4 * r));
  __m256i minus = minus_sum<L, R>(x, s, r, false);
  if constexpr (Wide) {
    minus = _mm256_add_epi32(_mm256_slli_epi32(minus, qr::kLowBits), minus_sum<L, R>(x, s, r, true));
  }
  return _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_sub_epi32(_mm256_setzero_si256(), minus)), scale);
}

// The integer sums of scale group s over a block of R rows, of both bytes where the block is wide.
template <class L, int R, bool Wide, class Source>
inline __attribute__((always_inline)) void sum_group(const Source& w, const std::byte* x, size_t s,
                                                     __m256i (&sums)[R][2]) {
  const auto start = [&](int r, bool low) { return zero_point_term<L, R>(x, s, r, low); };
  const auto shift = [](__m256i sum) { return _mm256_slli_epi32(sum, qr::kLowBits); };
  if constexpr (Wide && R <= 2) {  // both at once, for the codes are unpacked on the way
    __m256i both[2 * R][2];
    for (int v = 0; v < 2 * R; ++v) both[v][0] = both[v][1] = start(v % R, v >= R);
    add_group<L, R, 0, 2 * R>(w, x, s, both);
    for (int r = 0; r < R; ++r) {
      for (int half = 0; half < 2; ++half) {
        sums[r][half] = _mm256_add_epi32(shift(both[r][half]), both[R + r][half]);
      }
    }
    return;
  }
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r) sums[r][0] = sums[r][1] = start(r, false);
  add_group<L, R, 0, R>(w, x, s, sums);
  if constexpr (Wide) {
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) {
      const __m256i low = start(r, true);
      for (int half = 0; half < 2; ++half) sums[r][half] = _mm256_add_epi32(shift(sums[r][half]), low);
    }
    add_group<L, R, R, R>(w, x, s, sums);
  }
}

// acc += one block of R rows by one panel.
template <class L, int R, bool Wide, class Source>
inline __attribute__((always_inline)) void add_block(const Source& w, const std::byte* x,
                                                     __m256 (&acc)[R][2]) {
#pragma GCC unroll 2
  for (size_t s = 0; s < L::kScaleGroups; ++s) {
    __m256i sums[R][2];
    sum_group<L, R, Wide>(w, x, s, sums);
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) {
      const __m256 scale = _mm256_castsi256_ps(broadcast(x + qr::scale_at(R) + 4 * r));
#pragma GCC unroll 2
      for (int half = 0; half < 2; ++half) {
        const __m256 scales = _mm256_mul_ps(scale, w.scales(s, half));
        acc[r][half] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums[r][half]), scales, acc[r][half]);
        if constexpr (kStartsAtZero<L>) {
          const __m256 sum = sum_of_inputs<L, R, Wide>(x, s, r, scale);
          acc[r][half] = _mm256_fmadd_ps(sum, w.minimum(s, half), acc[r][half]);
        }
      }
    }
  }
}

// R rows by one panel over n blocks; the first n_out outputs of the panel are there.
template <class L, int R, class Source>
void tile(Source w, size_t n, qr::TileView x, float* out, size_t ld_out, size_t n_out, bool accumulate) {
  alignas(32) float values[R][kOutputs] = {};
  for (int r = 0; r < R && accumulate; ++r) std::copy_n(out + r * ld_out, n_out, values[r]);
  __m256 acc[R][2];
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r) {
    acc[r][0] = _mm256_load_ps(values[r]);
    acc[r][1] = _mm256_load_ps(values[r] + 8);
  }
  for (size_t b = 0; b < n; ++b, w.next()) {
    if (x.is_wide(b, R)) {
      add_block<L, R, true>(w, x.block(b), acc);
    } else {
      add_block<L, R, false>(w, x.block(b), acc);
    }
  }
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r) {
    _mm256_store_ps(values[r], acc[r][0]);
    _mm256_store_ps(values[r] + 8, acc[r][1]);
  }
  for (int r = 0; r < R; ++r) std::copy_n(values[r], n_out, out + r * ld_out);
}

template <class L, class Source>
using Tile = void (*)(Source, size_t, qr::TileView, float*, size_t, size_t, bool);
template <class L, class Source>
constexpr Tile<L, Source> kTiles[] = {tile<L, 1, Source>, tile<L, 2, Source>, tile<L, 3, Source>,
                                      tile<L, 4, Source>};

// Blocks that are unpacked at a time: what stays in the first-level cache beside the rows.
constexpr size_t kChunkBlocks = 32;

template <class L>
void blocked(const std::byte* panel, const PackedRows& x, float* out, size_t ld_out, size_t n_out,
             bool accumulate) {
  Block<L> chunk[kChunkBlocks];
  const size_t n_blocks = x.n_in / qr::kBlock;
  const size_t n_chunks = (n_blocks + kChunkBlocks - 1) / kChunkBlocks;
  for (size_t c = 0; c < n_chunks; ++c) {
    const size_t first = n_blocks * c / n_chunks;
    const size_t n = n_blocks * (c + 1) / n_chunks - first;
    unpack<L>(panel + first * L::kBlockBytes, n, chunk);
    for (size_t r = 0; r < x.n_rows; r += kTileRows) {
      const size_t n_here = std::min(kTileRows, x.n_rows - r);
      const qr::TileView rows = qr::tile_view(x, kTileRows, r, first);
      kTiles<L, Unpacked<L>>[n_here - 1]({chunk}, n, rows, out + r * ld_out, ld_out, n_out,
                                         accumulate || c > 0);
    }
  }
}

// Up to this many rows the weights are used straight from the packed bytes, once a tile of rows: the time is
// that of reading them, and `blocked` would not overlap it with the products.
constexpr size_t kStreamedRows = 2 * kTileRows;

template <class L>
void run(const PackedMatrix& w, const PackedRows& x, size_t out_begin, size_t out_end, float* out,
         size_t ld_out, bool accumulate) {
  static_assert(std::size(kTiles<L, Unpacked<L>>) == kTileRows);
  const size_t n_blocks = w.n_in / qr::kBlock;
  for (size_t o = out_begin; o < out_end; o += kOutputs) {
    const std::byte* panel = w.bytes.data() + o / kOutputs * n_blocks * L::kBlockBytes;
    const size_t n_out = std::min(kOutputs, out_end - o);
    if (x.n_rows <= kStreamedRows) {
      for (size_t r = 0; r < x.n_rows; r += kTileRows) {
        kTiles<L, Packed<L>>[std::min(kTileRows, x.n_rows - r) - 1](
            {panel}, n_blocks, qr::tile_view(x, kTileRows, r, 0), out + r * ld_out + o, ld_out, n_out,
            accumulate);
      }
    } else {
      blocked<L>(panel, x, out + o, ld_out, n_out, accumulate);
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
