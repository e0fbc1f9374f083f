// Blocks of packed panels (kernels/panels.h) in the registers of AVX-512.
#pragma once

#include <immintrin.h>

#include <cstddef>

#include "kernels/panels.h"

namespace lazyfill::avx512 {

using panels::kGroupBytes;
using panels::kOutputs;

inline __m512i load(const std::byte* from) {
  return _mm512_loadu_si512(from);
}

// Bit pairs of input group g, at bits `to` and `to` + 1 of each byte; see panels.h.
inline __m512i pairs_at(const std::byte* pairs, int g, int to) {
  const __m512i all = load(pairs + g / 4 * kGroupBytes);
  const int shift = to - g % 4 * 2;
  const __m512i shifted = shift >= 0 ? _mm512_slli_epi16(all, static_cast<unsigned>(shift))
                                     : _mm512_srli_epi16(all, static_cast<unsigned>(-shift));
  return _mm512_and_si512(shifted, _mm512_set1_epi8(static_cast<char>(3 << to)));
}

// codes plus `value` where bit g of a byte is set.
inline __m512i add_bits(__m512i codes, const std::byte* bits, int g, char value) {
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

inline __m512 load_half(const std::byte* from) {
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

template <class L>
__m512 group_offsets(const std::byte* block) {
  return load_half(block + L::kOffsetsAt);
}

// The offsets of this block and the next (zeros where there is none) in bf16, as the dot product takes them.
template <class L>
__m512i offset_pairs(const std::byte* block, bool has_next) {
  const __m512 first = group_offsets<L>(block);
  const __m512 second = has_next ? group_offsets<L>(block + L::kBlockBytes) : _mm512_setzero_ps();
  const auto bits = [](__m512 x) {
    const __m256bh narrow = _mm512_cvtneps_pbh(x);
    return _mm512_cvtepu16_epi32(reinterpret_cast<const __m256i&>(narrow));
  };
  return _mm512_or_si512(bits(first), _mm512_slli_epi32(bits(second), 16));
}

// The weights of code 0 of a layout with offsets: what 16-bit rows multiply with the sum of a block's inputs.
template <class L>
__m512 minima_of_offsets(const std::byte* block) {
  const __m512 zero_point = _mm512_set1_ps(1 << L::kZeroPointShift);
  return _mm512_fnmadd_ps(group_scales<L>(block, 0), zero_point, group_offsets<L>(block));
}

}  // namespace lazyfill::avx512
