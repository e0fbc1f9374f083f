// Sixteen floats in a register: what the templates in kernels/*_simd.h and attention_*.h compute with.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace lazyfill::avx512 {

struct Simd {
  using Vec = __m512;
  static constexpr size_t kLanes = 16;
  static constexpr int kBlockRows =
      8;  // register block of a product: kBlockRows x 3 accumulators of 32 registers

  static Vec zero() { return _mm512_setzero_ps(); }
  static Vec set1(float x) { return _mm512_set1_ps(x); }
  static Vec load(const float* p) { return _mm512_loadu_ps(p); }
  static void store(float* p, Vec x) { _mm512_storeu_ps(p, x); }
  static Vec add(Vec a, Vec b) { return _mm512_add_ps(a, b); }
  static Vec sub(Vec a, Vec b) { return _mm512_sub_ps(a, b); }
  static Vec mul(Vec a, Vec b) { return _mm512_mul_ps(a, b); }
  static Vec div(Vec a, Vec b) { return _mm512_div_ps(a, b); }
  static Vec fma(Vec a, Vec b, Vec c) { return _mm512_fmadd_ps(a, b, c); }
  static Vec max(Vec a, Vec b) { return _mm512_max_ps(a, b); }
  static Vec min(Vec a, Vec b) { return _mm512_min_ps(a, b); }
  static bool any_greater(Vec a, Vec b) { return _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ) != 0; }
  // Lane by lane: a > b ? x : y.
  static Vec where_greater(Vec a, Vec b, Vec x, Vec y) {
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_GT_OQ), y, x);
  }
  static float reduce_add(Vec x) { return _mm512_reduce_add_ps(x); }
  static float reduce_max(Vec x) { return _mm512_reduce_max_ps(x); }

  static Vec load_half(const uint16_t* p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  static void convert_8_halves(const uint16_t* p, float* out) {
    _mm256_storeu_ps(out, _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
  }
  static void store_half(uint16_t* p, Vec x) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT));
  }

  static Vec load_codes(const int8_t* p) {
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
  }
  // Rounded to nearest; what lies beyond a byte becomes the last byte.
  static void store_codes(int8_t* p, Vec x) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(x)));
  }
  // One fp16 number in all lanes.
  static Vec broadcast_half(const std::byte* p) {
    int16_t half;
    __builtin_memcpy(&half, p, 2);
    return _mm512_cvtph_ps(_mm256_set1_epi16(half));
  }

  // Neighbouring lanes as pairs: both of the first, both of the second, the two exchanged; a * b - c in the
  // first lane of a pair, a * b + c in the second.
  static Vec first_of_pairs(Vec x) { return _mm512_moveldup_ps(x); }
  static Vec second_of_pairs(Vec x) { return _mm512_movehdup_ps(x); }
  static Vec swap_pairs(Vec x) { return _mm512_permute_ps(x, 0xB1); }
  static Vec fma_sub_add(Vec a, Vec b, Vec c) { return _mm512_fmaddsub_ps(a, b, c); }
  // All first (second) elements of the pairs in two registers.
  static Vec firsts(Vec a, Vec b) {
    const __m512i index = _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
    return _mm512_permutex2var_ps(a, index, b);
  }
  static Vec seconds(Vec a, Vec b) {
    const __m512i index = _mm512_set_epi32(31, 29, 27, 25, 23, 21, 19, 17, 15, 13, 11, 9, 7, 5, 3, 1);
    return _mm512_permutex2var_ps(a, index, b);
  }

  // x where begin[lane] <= column < end[lane], `other` elsewhere.
  static Vec keep_inside(Vec x, int32_t column, const int32_t* begin, const int32_t* end, Vec other) {
    const __m512i c = _mm512_set1_epi32(column);
    const __mmask16 inside = _mm512_mask_cmpgt_epi32_mask(
        _mm512_cmpge_epi32_mask(c, _mm512_loadu_si512(begin)), _mm512_loadu_si512(end), c);
    return _mm512_mask_blend_ps(inside, other, x);
  }

  // 2^x, to 2e-7; far below the smallest float: 0. vscalef takes the floor of its exponent by itself.
  static Vec exp2(Vec x) {
    const Vec f = fraction(x);
    Vec p = fma(set1(1.8775767e-3F), f, set1(8.9893397e-3F));
    p = fma(p, f, set1(5.5826318e-2F));
    p = fma(p, f, set1(2.4015361e-1F));
    p = fma(p, f, set1(6.9315308e-1F));
    p = fma(p, f, set1(9.9999994e-1F));
    return _mm512_scalef_ps(p, x);
  }
  // 2^x, to 1e-4: a twentieth of what rounding the result to bf16 costs.
  static Vec exp2_rough(Vec x) {
    const Vec f = fraction(x);
    Vec p = fma(set1(7.8024521e-2F), f, set1(2.2606716e-1F));
    p = fma(p, f, set1(6.9583356e-1F));
    p = fma(p, f, set1(9.9992520e-1F));
    return _mm512_scalef_ps(p, x);
  }

  // Integers in the registers of floats. c + a.b, where a and b hold pairs of 16 bits. In `asm`, for GCC 12
  // copies the accumulators of the intrinsic and spills a register tile (half the speed).
  static Vec add_integer_pairs(Vec c, Vec a, Vec b) {
    asm("vpdpwssd %2, %1, %0" : "+v"(c) : "v"(a), "v"(b));
    return c;
  }
  static constexpr bool kHasIntegerTile = false;
  static Vec add_integers(Vec a, Vec b) { return floats(_mm512_add_epi32(ints(a), ints(b))); }
  static Vec integers_to_floats(Vec x) { return _mm512_cvtepi32_ps(ints(x)); }
  // 16 bits of each lane of the first, then of the second, none of which has more.
  static Vec lower_halves(Vec first, Vec second) {
    return floats(_mm512_or_si512(ints(first), _mm512_slli_epi32(ints(second), 16)));
  }
  static Vec magnitude(Vec x) { return _mm512_abs_ps(x); }
  // Rounded to 16 bits: each lane, or the lanes of the first and the second in turn.
  static void store_shorts(void* p, Vec x) {
    _mm256_storeu_si256(static_cast<__m256i*>(p), _mm512_cvtsepi32_epi16(_mm512_cvtps_epi32(x)));
  }
  static Vec short_pairs(Vec first, Vec second) {
    const __m512i high = _mm512_slli_epi32(_mm512_cvtps_epi32(second), 16);
    return floats(_mm512_mask_blend_epi16(0xAAAAAAAAU, _mm512_cvtps_epi32(first), high));
  }
  // 2^x as the nearest integer. The polynomial is good to 4e-6.
  static Vec exp2_to_integer(Vec x) {
    const Vec f = _mm512_reduce_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    Vec p = fma(set1(9.67554154e-3F), f, set1(5.55071328e-2F));
    p = fma(p, f, set1(2.40221197e-1F));
    p = fma(p, f, set1(6.93146967e-1F));
    p = fma(p, f, set1(1.0F));
    return floats(_mm512_cvtps_epi32(_mm512_scalef_ps(p, sub(x, f))));
  }

  // Sums of the lanes of sixteen registers, four registers at a time: sums4() leaves a sum for each of them
  // in every quarter, store_sums() adds the quarters of all.
  static constexpr size_t kSumColumns = 16;
  static Vec sums4(Vec a, Vec b, Vec c, Vec d) {
    const Vec ab = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
    const Vec cd = _mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
    return _mm512_add_ps(_mm512_shuffle_ps(ab, cd, 0x44), _mm512_shuffle_ps(ab, cd, 0xEE));
  }
  static void store_sums(float* p, const Vec (&sums)[kSumColumns / 4]) {
    store(p, add_quarters(add_quarters(sums[0], sums[1]), add_quarters(sums[2], sums[3])));
  }

 private:
  static __m512i ints(Vec x) { return _mm512_castps_si512(x); }
  static Vec floats(__m512i x) { return _mm512_castsi512_ps(x); }
  static Vec fraction(Vec x) { return _mm512_reduce_ps(x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC); }
  // Of each register: its first quarter plus its second, its third plus its fourth.
  static Vec add_quarters(Vec a, Vec b) {
    return _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xDD));
  }
};

}  // namespace lazyfill::avx512
