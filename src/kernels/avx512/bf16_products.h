// What tiled attention multiplies with where it is not in integers (Products in attention_tiles.h).
#pragma once

#include <immintrin.h>

#include <bit>
#include <cstddef>
#include <cstdint>

#include "base/half.h"
#include "kernels/avx512/simd.h"

namespace lazyfill::avx512 {

// Products of pairs of bf16 (vdpbf16ps), summed in floats: twice the products of an instruction of floats.
struct Bf16Products {
  using Vec = Simd::Vec;
  static constexpr size_t kPair = 2;
  static constexpr bool kScaled = false;

  static Vec dot(Vec a, Vec b, Vec c) { return _mm512_dpbf16_ps(c, words(a), words(b)); }
  static Vec exp2(Vec x) { return Simd::exp2_rough(x); }

  static uint32_t pack_query(const float* q, float scale) {
    return bf16(q[0] * scale) | static_cast<uint32_t>(bf16(q[1] * scale)) << 16;
  }

  static void load_key(const uint16_t* halves, size_t d, uint32_t* words_out) {
    size_t i = 0;
    for (; i + 32 <= d; i += 32) {
      const __m512bh both =
          _mm512_cvtne2ps_pbh(Simd::load_half(halves + i + 16), Simd::load_half(halves + i));
      _mm512_storeu_si512(words_out + i / 2, reinterpret_cast<const __m512i&>(both));
    }
    for (; i < d; i += 8) {
      const __m256 x = _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(halves + i)));
      store_8(x, words_out + i / 2);
    }
  }
  static void load_key(const float* floats, size_t d, uint32_t* words_out) {
    for (size_t i = 0; i < d; i += 8) store_8(_mm256_loadu_ps(floats + i), words_out + i / 2);
  }

  // words[i] = value[i] and next[i] (0 without a second column).
  static void load_values(const uint16_t* value, const uint16_t* next, bool second, size_t d,
                          uint32_t* words_out) {
    size_t i = 0;
    for (; i + 16 <= d; i += 16) {
      const Vec x = Simd::load_half(value + i);
      const Vec y = second ? Simd::load_half(next + i) : Simd::zero();
      store_pairs(x, y, words_out + i);
    }
    for (; i < d; ++i) words_out[i] = pair(half_to_float(value[i]), second ? half_to_float(next[i]) : 0.0F);
  }
  static void load_values(const float* value, const float* next, bool second, size_t d, uint32_t* words_out) {
    for (size_t i = 0; i < d; ++i) words_out[i] = pair(value[i], second ? next[i] : 0.0F);
  }

  template <size_t kWidth>
  static void store_weights(float* weights, size_t column, Vec first, Vec second) {
    store_pairs(first, second, reinterpret_cast<uint32_t*>(weights) + column / 2 * kWidth);
  }

 private:
  static __m512bh words(Vec x) { return reinterpret_cast<const __m512bh&>(x); }
  static uint32_t bf16(float x) {
    const uint32_t bits = std::bit_cast<uint32_t>(x);
    return (bits + 0x7FFFU + ((bits >> 16) & 1U)) >> 16;
  }
  static uint32_t pair(float x, float y) { return bf16(x) | bf16(y) << 16; }
  static void store_8(__m256 x, uint32_t* out) {
    const __m128bh narrow = _mm256_cvtneps_pbh(x);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out), reinterpret_cast<const __m128i&>(narrow));
  }
  // Lane by lane x in the lower half of the word, y in the upper; rounded to nearest, ties upwards.
  static void store_pairs(Vec x, Vec y, uint32_t* out) {
    const __m512i half = _mm512_set1_epi32(0x8000);
    const __m512i low = _mm512_srli_epi32(_mm512_add_epi32(_mm512_castps_si512(x), half), 16);
    const __m512i high = _mm512_add_epi32(_mm512_castps_si512(y), half);
    _mm512_storeu_si512(out, _mm512_mask_blend_epi16(0xAAAAAAAAU, low, high));
  }
};

}  // namespace lazyfill::avx512
