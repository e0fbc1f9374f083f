// Blocks of packed panels (kernels/panels.h) in the registers of AVX2.
#pragma once

#include <immintrin.h>

#include <cstddef>

#include "kernels/panels.h"

namespace lazyfill::avx2 {

using panels::kGroupBytes;
using panels::kOutputs;

inline __m256i load(const std::byte* from) {
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

inline __m256 load_half(const std::byte* from) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
}
inline __m256 load_bf16(const std::byte* from) {
  const __m128i bits = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
}
inline __m128i load_8_bytes(const std::byte* from) {
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
    const __m256 offsets = load_half(block + L::kOffsetsAt + half * 16);
    const __m256 zero_point = _mm256_set1_ps(1 << L::kZeroPointShift);
    return _mm256_fnmadd_ps(group_scales<L>(block, 0, half), zero_point, offsets);
  }
}

}  // namespace lazyfill::avx2
