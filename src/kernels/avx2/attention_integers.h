// Attention in pairs of 16-bit integers (vpmaddwd): twice the products of an instruction of floats. Queries
// and keys have a scale each, the values of a tile of columns one for each element, weights one for each lane
// and tile. Everything keeps 12 bits or more, so the rounding is below that of the fp16 columns they come
// from or near it.
#pragma once

#include <immintrin.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "kernels/attention_block.h"
#include "kernels/avx2/simd.h"

namespace lazyfill::avx2 {

struct IntegerProducts {
  using Vec = Simd::Vec;
  static constexpr size_t kPair = 2;
  static constexpr bool kScaled = true;
  static constexpr int kWeightBits = 12;
  static constexpr int kLargestWeight = 1 << kWeightBits;
  static constexpr int kLargestValue = 8191;
  static_assert(int64_t{kLargestWeight} * kLargestValue * tiles::kTileColumns <
                std::numeric_limits<int32_t>::max());

  // Integers travel in the registers of floats.
  static Vec dot(Vec a, Vec b, Vec c) {
    Vec sum = bits(_mm256_add_epi32(ints(c), _mm256_madd_epi16(ints(a), ints(b))));
    // Keeps GCC from making all products of a register tile before it adds them: they would not fit.
    asm volatile("" : "+x"(sum));
    return sum;
  }
  static Vec add(Vec a, Vec b) { return bits(_mm256_add_epi32(ints(a), ints(b))); }
  static Vec to_float(Vec x) { return _mm256_cvtepi32_ps(ints(x)); }
  static Vec pair(Vec first, Vec second) {
    return bits(_mm256_or_si256(ints(first), _mm256_slli_epi32(ints(second), 16)));
  }

  // 2^x as the nearest integer, for x up to kWeightBits. The polynomial is good to 4e-6, the integer to half
  // of one in 4096.
  static Vec weight(Vec x) {
    const Vec clamped = Simd::max(x, Simd::set1(-100));
    const Vec whole = _mm256_round_ps(clamped, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const Vec f = Simd::sub(clamped, whole);
    Vec p = Simd::fma(Simd::set1(9.67554154e-3F), f, Simd::set1(5.55071328e-2F));
    p = Simd::fma(p, f, Simd::set1(2.40221197e-1F));
    p = Simd::fma(p, f, Simd::set1(6.93146967e-1F));
    p = Simd::fma(p, f, Simd::set1(1.0F));
    // Times 2^whole: added to the exponent.
    const __m256i power = _mm256_slli_epi32(_mm256_cvtps_epi32(whole), 23);
    return bits(_mm256_cvtps_epi32(bits(_mm256_add_epi32(ints(p), power))));
  }

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
    const Vec factor = Simd::set1(largest > 0 ? limit / largest : 0.0F);
    for (size_t i = 0; i < d; i += 8) {
      const __m256i x = _mm256_cvtps_epi32(Simd::mul(Simd::load(key + i), factor));
      _mm_storeu_si128(reinterpret_cast<__m128i*>(words + i / 2),
                       _mm_packs_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1)));
    }
    return largest / limit;
  }

  // values [n, d] -> words [n / 2, d], pairs of neighbouring columns, and a scale for each element.
  static void pack_values(const float* values, size_t n, size_t d, uint32_t* words, float* scales) {
    for (size_t i = 0; i < d; i += 8) {
      Vec largest = Simd::zero();
      for (size_t c = 0; c < n; ++c) largest = Simd::max(largest, magnitude(Simd::load(values + c * d + i)));
      Simd::store(scales + i, Simd::mul(largest, Simd::set1(1.0F / kLargestValue)));
      const Vec is_zero = _mm256_cmp_ps(largest, Simd::zero(), _CMP_EQ_OQ);
      const Vec factor = _mm256_andnot_ps(is_zero, Simd::div(Simd::set1(kLargestValue), largest));
      for (size_t c = 0; c < n; c += 2) {
        const __m256i x = _mm256_cvtps_epi32(Simd::mul(Simd::load(values + c * d + i), factor));
        const __m256i y = _mm256_cvtps_epi32(Simd::mul(Simd::load(values + (c + 1) * d + i), factor));
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(words + c / 2 * d + i),
                            _mm256_blend_epi16(x, _mm256_slli_epi32(y, 16), 0xAA));
      }
    }
  }

 private:
  static __m256i ints(Vec x) { return _mm256_castps_si256(x); }
  static Vec bits(__m256i x) { return _mm256_castsi256_ps(x); }
  static Vec magnitude(Vec x) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0F), x); }
  static float largest_of(const float* x, size_t d) {
    Vec largest = Simd::zero();
    for (size_t i = 0; i < d; i += 8) largest = Simd::max(largest, magnitude(Simd::load(x + i)));
    return Simd::reduce_max(largest);
  }
};

}  // namespace lazyfill::avx2
