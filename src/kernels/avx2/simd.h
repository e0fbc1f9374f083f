// Eight floats in a register: what the templates in kernels/*_simd.h and attention_*.h compute with.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace lazyfill::avx2 {

struct Simd {
  using Vec = __m256;
  static constexpr size_t kLanes = 8;
  static constexpr int kBlockRows =
      4;  // register block of a product: kBlockRows x 3 accumulators of 16 registers

  static Vec zero() { return _mm256_setzero_ps(); }
  static Vec set1(float x) { return _mm256_set1_ps(x); }
  static Vec load(const float* p) { return _mm256_loadu_ps(p); }
  static void store(float* p, Vec x) { _mm256_storeu_ps(p, x); }
  static Vec add(Vec a, Vec b) { return _mm256_add_ps(a, b); }
  static Vec sub(Vec a, Vec b) { return _mm256_sub_ps(a, b); }
  static Vec mul(Vec a, Vec b) { return _mm256_mul_ps(a, b); }
  static Vec div(Vec a, Vec b) { return _mm256_div_ps(a, b); }
  static Vec fma(Vec a, Vec b, Vec c) { return _mm256_fmadd_ps(a, b, c); }
  static Vec max(Vec a, Vec b) { return _mm256_max_ps(a, b); }
  static Vec min(Vec a, Vec b) { return _mm256_min_ps(a, b); }
  static bool any_greater(Vec a, Vec b) { return _mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_GT_OQ)) != 0; }
  // Lane by lane: a > b ? x : y.
  static Vec where_greater(Vec a, Vec b, Vec x, Vec y) {
    return _mm256_blendv_ps(y, x, _mm256_cmp_ps(a, b, _CMP_GT_OQ));
  }
  static float reduce_add(Vec x) {
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
  }
  static float reduce_max(Vec x) {
    __m128 s = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    s = _mm_max_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_max_ss(s, _mm_movehdup_ps(s)));
  }

  static Vec load_half(const uint16_t* p) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  static void convert_8_halves(const uint16_t* p, float* out) { store(out, load_half(p)); }
  static void store_half(uint16_t* p, Vec x) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT));
  }

  static Vec load_codes(const int8_t* p) {
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
  }
  // Rounded to nearest; what lies beyond a byte becomes the last byte.
  static void store_codes(int8_t* p, Vec x) {
    const __m256i words = _mm256_cvtps_epi32(x);
    const __m128i shorts = _mm_packs_epi32(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_packs_epi16(shorts, shorts));
  }
  // One fp16 number in all lanes.
  static Vec broadcast_half(const std::byte* p) {
    int16_t half;
    __builtin_memcpy(&half, p, 2);
    return _mm256_cvtph_ps(_mm_set1_epi16(half));
  }

  // Neighbouring lanes as pairs: both of the first, both of the second, the two exchanged; a * b - c in the
  // first lane of a pair, a * b + c in the second.
  static Vec first_of_pairs(Vec x) { return _mm256_moveldup_ps(x); }
  static Vec second_of_pairs(Vec x) { return _mm256_movehdup_ps(x); }
  static Vec swap_pairs(Vec x) { return _mm256_permute_ps(x, 0xB1); }
  static Vec fma_sub_add(Vec a, Vec b, Vec c) { return _mm256_fmaddsub_ps(a, b, c); }
  // All first (second) elements of the pairs in two registers.
  static Vec firsts(Vec a, Vec b) { return in_order(_mm256_shuffle_ps(a, b, 0x88)); }
  static Vec seconds(Vec a, Vec b) { return in_order(_mm256_shuffle_ps(a, b, 0xDD)); }

  // x where begin[lane] <= column < end[lane], `other` elsewhere.
  static Vec keep_inside(Vec x, int32_t column, const int32_t* begin, const int32_t* end, Vec other) {
    const __m256i c = _mm256_set1_epi32(column);
    const __m256i too_early =
        _mm256_cmpgt_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(begin)), c);
    const __m256i in_time = _mm256_cmpgt_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(end)), c);
    return _mm256_blendv_ps(other, x, _mm256_castsi256_ps(_mm256_andnot_si256(too_early, in_time)));
  }

  // 2^x for x up to 127, to 3e-7; below -126: 0. The fraction lies in [-1/2, 1/2].
  static Vec exp2(Vec x) {
    const Vec clamped = max(x, set1(-127));
    const Vec whole = _mm256_round_ps(clamped, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const Vec f = sub(clamped, whole);
    Vec p = fma(set1(1.32764717e-3F), f, set1(9.67554154e-3F));
    p = fma(p, f, set1(5.55071328e-2F));
    p = fma(p, f, set1(2.40221197e-1F));
    p = fma(p, f, set1(6.93146967e-1F));
    p = fma(p, f, set1(1.00000007F));
    // 2^whole from its bits; the exponent of -127 is that of zero.
    const __m256i power =
        _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(whole), _mm256_set1_epi32(127)), 23);
    return mul(p, _mm256_castsi256_ps(power));
  }

  // Integers in the registers of floats. c + a.b, where a and b hold pairs of 16 bits; the empty `asm` keeps
  // GCC from making all products of a register tile before it adds them: they would not fit.
  static Vec add_integer_pairs(Vec c, Vec a, Vec b) {
    Vec sum = floats(_mm256_add_epi32(ints(c), _mm256_madd_epi16(ints(a), ints(b))));
    asm volatile("" : "+x"(sum));
    return sum;
  }
  // sums [4][3] = a.b over n > 0 pairs: row r's pair k lies at a + r * row_step + k * step (bytes), the three
  // registers of pair k at b + 96 * k. In one block of `asm`: twelve sums, two registers of b, a broadcast
  // and a product are all sixteen registers, and GCC 12 copies and spills where it has the choice.
  static constexpr bool kHasIntegerTile = true;
  static void integer_tile(const void* a, size_t row_step, size_t step, const void* b, size_t n,
                           Vec (&sums)[4][3]) {
#define LAZYFILL_ZERO(sum) "vpxor " sum ", " sum ", " sum "\n\t"
#define LAZYFILL_ADD(sum) "vpaddd %%ymm15, " sum ", " sum "\n\t"
#define LAZYFILL_ROW(at, sum0, sum1, sum2) \
  "vpbroadcastd " at ", %%ymm14\n\tvpmaddwd %%ymm14, %%ymm12, %%ymm15\n\t" LAZYFILL_ADD(sum0) \
  "vpmaddwd %%ymm14, %%ymm13, %%ymm15\n\t" LAZYFILL_ADD(sum1)                                \
  "vpmaddwd 64(%[b]), %%ymm14, %%ymm15\n\t" LAZYFILL_ADD(sum2)
    asm volatile(  // clang-format off
        LAZYFILL_ZERO("%[s0]") LAZYFILL_ZERO("%[s1]") LAZYFILL_ZERO("%[s2]") LAZYFILL_ZERO("%[s3]")
        LAZYFILL_ZERO("%[s4]") LAZYFILL_ZERO("%[s5]") LAZYFILL_ZERO("%[s6]") LAZYFILL_ZERO("%[s7]")
        LAZYFILL_ZERO("%[s8]") LAZYFILL_ZERO("%[s9]") LAZYFILL_ZERO("%[s10]") LAZYFILL_ZERO("%[s11]")
        "1:\n\t"
        "vmovdqu (%[b]), %%ymm12\n\t"
        "vmovdqu 32(%[b]), %%ymm13\n\t"
        LAZYFILL_ROW("(%[a])", "%[s0]", "%[s1]", "%[s2]")
        LAZYFILL_ROW("(%[a],%[row])", "%[s3]", "%[s4]", "%[s5]")
        LAZYFILL_ROW("(%[a],%[row],2)", "%[s6]", "%[s7]", "%[s8]")
        LAZYFILL_ROW("(%[a],%[row3])", "%[s9]", "%[s10]", "%[s11]")
        "add %[step], %[a]\n\t"
        "add $96, %[b]\n\t"
        "dec %[n]\n\t"
        "jnz 1b"  // clang-format on
        : [a] "+r"(a), [b] "+r"(b), [n] "+r"(n), [s0] "=x"(sums[0][0]), [s1] "=x"(sums[0][1]),
          [s2] "=x"(sums[0][2]), [s3] "=x"(sums[1][0]), [s4] "=x"(sums[1][1]), [s5] "=x"(sums[1][2]),
          [s6] "=x"(sums[2][0]), [s7] "=x"(sums[2][1]), [s8] "=x"(sums[2][2]), [s9] "=x"(sums[3][0]),
          [s10] "=x"(sums[3][1]), [s11] "=x"(sums[3][2])
        : [row] "r"(row_step), [row3] "r"(3 * row_step), [step] "r"(step)
        : "xmm12", "xmm13", "xmm14", "xmm15", "cc", "memory");
#undef LAZYFILL_ROW
#undef LAZYFILL_ADD
#undef LAZYFILL_ZERO
  }
  static Vec add_integers(Vec a, Vec b) {
    return floats(_mm256_add_epi32(ints(a), ints(b)));
  }
  static Vec integers_to_floats(Vec x) {
    return _mm256_cvtepi32_ps(ints(x));
  }
  // 16 bits of each lane of the first, then of the second, none of which has more.
  static Vec lower_halves(Vec first, Vec second) {
    return floats(_mm256_or_si256(ints(first), _mm256_slli_epi32(ints(second), 16)));
  }
  static Vec magnitude(Vec x) {
    return _mm256_andnot_ps(set1(-0.0F), x);
  }
  // Rounded to 16 bits: each lane, or the lanes of the first and the second in turn.
  static void store_shorts(void* p, Vec x) {
    const __m256i rounded = _mm256_cvtps_epi32(x);
    _mm_storeu_si128(static_cast<__m128i*>(p),
                     _mm_packs_epi32(_mm256_castsi256_si128(rounded), _mm256_extracti128_si256(rounded, 1)));
  }
  static Vec short_pairs(Vec first, Vec second) {
    const __m256i high = _mm256_slli_epi32(_mm256_cvtps_epi32(second), 16);
    return floats(_mm256_blend_epi16(_mm256_cvtps_epi32(first), high, 0xAA));
  }
  // 2^x as the nearest integer. The polynomial is good to 4e-6.
  static Vec exp2_to_integer(Vec x) {
    const Vec clamped = max(x, set1(-100));
    const Vec whole = _mm256_round_ps(clamped, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const Vec f = sub(clamped, whole);
    Vec p = fma(set1(9.67554154e-3F), f, set1(5.55071328e-2F));
    p = fma(p, f, set1(2.40221197e-1F));
    p = fma(p, f, set1(6.93146967e-1F));
    p = fma(p, f, set1(1.0F));
    // Times 2^whole: added to the exponent.
    const __m256i power = _mm256_slli_epi32(_mm256_cvtps_epi32(whole), 23);
    return floats(_mm256_cvtps_epi32(floats(_mm256_add_epi32(ints(p), power))));
  }

  // Sums of the lanes of four registers: sums4() leaves a sum for each of them in both halves, store_sums()
  // adds the halves.
  static constexpr size_t kSumColumns = 4;
  static Vec sums4(Vec a, Vec b, Vec c, Vec d) {
    return _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
  }
  static void store_sums(float* p, const Vec (&sums)[kSumColumns / 4]) {
    _mm_storeu_ps(p, _mm_add_ps(_mm256_castps256_ps128(sums[0]), _mm256_extractf128_ps(sums[0], 1)));
  }

 private:
  static __m256i ints(Vec x) {
    return _mm256_castps_si256(x);
  }
  static Vec floats(__m256i x) {
    return _mm256_castsi256_ps(x);
  }
  static Vec in_order(Vec x) {
    return _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(x), _MM_SHUFFLE(3, 1, 2, 0)));
  }
};

}  // namespace lazyfill::avx2
