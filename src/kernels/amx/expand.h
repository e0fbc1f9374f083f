// Packed panels (kernels/panels.h) as 16-bit integers with one scale an output: planes of signed bytes, in
// tiles that are multiplied as they lie.
//
// A block's weight is scale * code + offset, codes counted from the middle one. In units of its output's unit
// that is one rounding multiplication of 16-bit numbers and an addition; its error is half a unit, the
// largest weight that the output could have being 32,512 of them.
#pragma once

#include <immintrin.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels/amx/tiles.h"
#include "kernels/avx512/panel_blocks.h"
#include "kernels/panels.h"

namespace lazyfill::amx {

using panels::kInputGroups;
using panels::kOutputs;

inline constexpr float kLargestInteger = 127 * 256;  // its upper byte stays one when the lower is rounded off

// Planes of an integer: its upper byte, rounded; its lower byte, which is what that leaves; and the latter's
// sixteenths, rounded. Products of two of the last are in units of 256, as those of an upper and a lower
// byte.
inline constexpr size_t kPlanes = 3;

// Tiles along the inputs: two blocks each.
constexpr size_t tiles_of(size_t n_in) {
  return (n_in + kTileInputs - 1) / kTileInputs;
}

// Scale group s of a block: what codes from the middle one on are multiplied with, and what is added.
template <class L>
struct Line {
  __m512 scale;
  __m512 offset;

  static Line of(const std::byte* block, size_t s) {
    const __m512 scale = avx512::group_scales<L>(block, s);
    if constexpr (L::kHasOffset) return {scale, avx512::group_offsets<L>(block)};
    if constexpr (panels::kHasMinima<L>) {  // scale * code - minimum, codes counted from 0
      const __m512 middle = _mm512_set1_ps(kMiddle);
      return {scale, _mm512_fmsub_ps(scale, middle, avx512::group_minima<L>(block, s))};
    }
    return {scale, _mm512_setzero_ps()};
  }

  static constexpr int kMiddle = panels::kHasMinima<L> ? 1 << (L::kBits - 1) : 1 << L::kZeroPointShift;
};

// Codes from the middle one on take so many bits, sign included: one more where it is not the middle, as in
// ternary types, of whose four codes a file may hold the last.
template <class L>
inline constexpr int kCodeBits = L::kBits + (Line<L>::kMiddle == 1 << (L::kBits - 1) ? 0 : 1);

// The largest magnitude that each output's weights can have, [16] lanes.
template <class L>
__m512 largest_weights(const std::byte* panel, size_t n_blocks) {
  __m512 largest = _mm512_setzero_ps();
  const __m512 largest_code = _mm512_set1_ps(1 << (kCodeBits<L> - 1));
  for (size_t b = 0; b < n_blocks; ++b, panel += L::kBlockBytes) {
    for (size_t s = 0; s < L::kScaleGroups; ++s) {
      const auto line = Line<L>::of(panel, s);
      const __m512 most =
          _mm512_fmadd_ps(_mm512_abs_ps(line.scale), largest_code, _mm512_abs_ps(line.offset));
      largest = _mm512_max_ps(largest, most);
    }
  }
  return largest;
}

// Each of 16 numbers in two neighbouring 16-bit lanes.
inline __m512i twice(__m512 x) {
  const __m512i numbers = _mm512_cvtps_epi32(x);
  return _mm512_mask_blend_epi16(0xAAAAAAAAU, numbers, _mm512_slli_epi32(numbers, 16));
}

// Sixteenths of lower bytes + 128. The eight highest of 256 round down, for lack of a bit.
inline __m512i sixteenths(__m512i raised) {
  const __m512i halves = _mm512_adds_epu8(raised, _mm512_set1_epi8(8));
  const __m512i nibbles = _mm512_and_si512(_mm512_srli_epi16(halves, 4), _mm512_set1_epi8(15));
  return _mm512_sub_epi8(nibbles, _mm512_set1_epi8(8));
}

// A panel of n_blocks blocks. The planes of tile t go to `to` + t * stride, the last one where `Fine`; what
// lies beyond the last block is 0. `units` [16]: what an integer is worth.
template <class L, bool Fine>
void expand_panel(const std::byte* panel, size_t n_blocks, std::byte* to, size_t stride, float* units) {
  const __m512 largest = _mm512_max_ps(largest_weights<L>(panel, n_blocks), _mm512_set1_ps(1e-30F));
  _mm512_storeu_ps(units, _mm512_mul_ps(largest, _mm512_set1_ps(1 / kLargestInteger)));
  const __m512 per_unit = _mm512_div_ps(_mm512_set1_ps(kLargestInteger), largest);
  // The codes fill their 16 bits, so that the multiplication, which keeps the upper half, loses nothing.
  constexpr int kShift = 16 - kCodeBits<L>;
  const __m512 per_factor = _mm512_mul_ps(per_unit, _mm512_set1_ps(static_cast<float>(1 << (15 - kShift))));
  const __m512i middle = _mm512_set1_epi8(static_cast<char>(Line<L>::kMiddle));
  const __m512i odd_bytes = _mm512_set1_epi16(static_cast<int16_t>(0xFF00));
  const __m512i half = _mm512_set1_epi16(128);
  const __m512i flip = _mm512_set1_epi8(static_cast<char>(0x80));
  constexpr size_t kGroups = kInputGroups / L::kScaleGroups;
  for (size_t b = 0; b < n_blocks; ++b, panel += L::kBlockBytes) {
    std::byte* tile = to + b / 2 * stride + b % 2 * (kTileBytes / 2);
    for (size_t s = 0; s < L::kScaleGroups; ++s) {
      const auto line = Line<L>::of(panel, s);
      const __m512i factor = twice(_mm512_mul_ps(line.scale, per_factor));
      const __m512i offset = _mm512_add_epi16(twice(_mm512_mul_ps(line.offset, per_unit)), half);
      for (size_t g = s * kGroups; g < (s + 1) * kGroups; ++g) {
        const __m512i codes = _mm512_sub_epi8(avx512::group_codes<L>(panel, static_cast<int>(g)), middle);
        const auto integers = [&](__m512i full) {
          return _mm512_add_epi16(_mm512_mulhrs_epi16(full, factor), offset);
        };
        const __m512i even = integers(_mm512_slli_epi16(codes, kShift));
        const __m512i odd = integers(_mm512_slli_epi16(_mm512_and_si512(codes, odd_bytes), kShift - 8));
        const __m512i upper = _mm512_mask_blend_epi8(0xAAAAAAAAAAAAAAAAU, _mm512_srli_epi16(even, 8), odd);
        const __m512i lower = _mm512_mask_blend_epi8(0xAAAAAAAAAAAAAAAAU, even, _mm512_slli_epi16(odd, 8));
        _mm512_store_si512(tile + g * 64, upper);
        _mm512_store_si512(tile + kTileBytes + g * 64, _mm512_xor_si512(lower, flip));
        if constexpr (Fine) _mm512_store_si512(tile + 2 * kTileBytes + g * 64, sixteenths(lower));
      }
    }
  }
  if (n_blocks % 2 == 1) {
    std::byte* rest = to + n_blocks / 2 * stride + kTileBytes / 2;
    for (size_t plane = 0; plane < kPlanes; ++plane)
      std::memset(rest + plane * kTileBytes, 0, kTileBytes / 2);
  }
}

}  // namespace lazyfill::amx
