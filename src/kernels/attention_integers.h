// Attention in pairs of 16-bit integers (vpmaddwd, vpdpwssd): twice the products of an instruction of floats.
// Queries and keys have a scale each, the values of a tile of columns one for each element, weights one for
// each lane and tile. Everything keeps 12 bits or more, so the rounding is below that of the fp16 columns
// they come from or near it.
//
// A template over Simd, so that each instruction set has functions of its own. Keys and values are converted
// eight at a time in all of them: that is done once for many rows.
#pragma once

#include <immintrin.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "kernels/attention_block.h"

namespace lazyfill::tiles {

template <class Simd>
struct IntegerProducts {
  using Vec = typename Simd::Vec;
  static constexpr size_t kPair = 2;
  static constexpr bool kScaled = true;
  static constexpr int kWeightBits = 12;
  static constexpr int kLargestWeight = 1 << kWeightBits;
  static constexpr int kLargestValue = 8191;
  static_assert(int64_t{kLargestWeight} * kLargestValue * kTileColumns < std::numeric_limits<int32_t>::max());

  // Integers travel in the registers of floats.
  static Vec dot(Vec a, Vec b, Vec c) { return Simd::add_integer_pairs(c, a, b); }
  static Vec add(Vec a, Vec b) { return Simd::add_integers(a, b); }
  static Vec to_float(Vec x) { return Simd::integers_to_floats(x); }
  static Vec pair(Vec first, Vec second) { return Simd::lower_halves(first, second); }
  // 2^x as the nearest integer, for x up to kWeightBits.
  static Vec weight(Vec x) { return Simd::exp2_to_integer(x); }

  // The largest magnitude that d products of a query and a key can be summed with in 32 bits.
  static float largest_input(size_t d) {
    return std::min(32767.0F, std::floor(std::sqrt(2147483647.0F / static_cast<float>(d)) - 0.5F));
  }

  // What a query is multiplied with before it is rounded; 0 if it is nothing but zeros.
  static float query_factor(const float* q, size_t d) {
    const float largest = largest_of(q, d);
    return largest > 0 ? largest_input(d) / largest : 0.0F;
  }
  static uint32_t pack_query(const float* q, float factor) {
    const __m128 x = _mm_castsi128_ps(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(q)));
    const __m128i rounded = _mm_cvtps_epi32(_mm_mul_ps(x, _mm_set1_ps(factor)));
    return static_cast<uint32_t>(_mm_cvtsi128_si32(_mm_packs_epi32(rounded, rounded)));
  }

  // words [d / 2] = key in integers; returns its scale. d is a multiple of 8.
  static float pack_key(const float* key, size_t d, uint32_t* words) {
    const float largest = largest_of(key, d);
    const float limit = largest_input(d);
    const __m256 factor = _mm256_set1_ps(largest > 0 ? limit / largest : 0.0F);
    for (size_t i = 0; i < d; i += 8) {
      const __m256i x = rounded(key + i, factor);
      _mm_storeu_si128(reinterpret_cast<__m128i*>(words + i / 2),
                       _mm_packs_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1)));
    }
    return largest / limit;
  }

  // values [n, d] -> words [n / 2, d], pairs of neighbouring columns, and a scale for each element.
  static void pack_values(const float* values, size_t n, size_t d, uint32_t* words, float* scales) {
    for (size_t i = 0; i < d; i += 8) {
      __m256 largest = _mm256_setzero_ps();
      for (size_t c = 0; c < n; ++c) largest = _mm256_max_ps(largest, magnitude(values + c * d + i));
      _mm256_storeu_ps(scales + i, _mm256_mul_ps(largest, _mm256_set1_ps(1.0F / kLargestValue)));
      const __m256 is_zero = _mm256_cmp_ps(largest, _mm256_setzero_ps(), _CMP_EQ_OQ);
      const __m256 factor = _mm256_andnot_ps(is_zero, _mm256_div_ps(_mm256_set1_ps(kLargestValue), largest));
      for (size_t c = 0; c < n; c += 2) {
        const __m256i x = rounded(values + c * d + i, factor);
        const __m256i y = rounded(values + (c + 1) * d + i, factor);
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(words + c / 2 * d + i),
                            _mm256_blend_epi16(x, _mm256_slli_epi32(y, 16), 0xAA));
      }
    }
  }

 private:
  static __m256i rounded(const float* x, __m256 factor) {
    return _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x), factor));
  }
  static __m256 magnitude(const float* x) {
    return _mm256_andnot_ps(_mm256_set1_ps(-0.0F), _mm256_loadu_ps(x));
  }
  static float largest_of(const float* x, size_t d) {
    __m256 largest = _mm256_setzero_ps();
    for (size_t i = 0; i < d; i += 8) largest = _mm256_max_ps(largest, magnitude(x + i));
    alignas(32) float lanes[8];
    _mm256_store_ps(lanes, largest);
    return *std::max_element(lanes, lanes + 8);
  }
};

}  // namespace lazyfill::tiles
