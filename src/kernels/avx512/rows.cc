#include <immintrin.h>

#include <cstring>

#include "kernels/avx512/matmul.h"
#include "kernels/quantized_rows.h"

namespace lazyfill::avx512 {
namespace {

namespace qr = quantized_rows;

// How quantized_rows::pack does it here. `r` is a row of a block of n rows.
struct Table {
  static float largest_of(const float* x) {
    const __m512 lo = _mm512_abs_ps(_mm512_loadu_ps(x));
    const __m512 hi = _mm512_abs_ps(_mm512_loadu_ps(x + 16));
    return _mm512_reduce_max_ps(_mm512_max_ps(lo, hi));
  }

  // Block b of a plain row x.
  static void quantize(const float* row, size_t b, size_t n_blocks, std::byte* block, size_t n, size_t r) {
    const float* x = row + b * qr::kBlock;
    const float largest = largest_of(x);
    const float inverse = largest > 0 ? 127.0F / largest : 0.0F;
    const __m512i lo = _mm512_min_epi32(rounded(x, inverse, -127), _mm512_set1_epi32(127));
    const __m512i hi = _mm512_min_epi32(rounded(x + 16, inverse, -127), _mm512_set1_epi32(127));
    put_bytes(_mm512_cvtsepi32_epi8(lo), _mm512_cvtsepi32_epi8(hi), block + r * qr::kBlock);
    const int32_t minus_lo = -_mm512_reduce_add_epi32(lo);
    qr::put(block + qr::scale_at(n) + 4 * r, largest / 127.0F);
    qr::put(block + qr::minus_at(n, false) + 4 * r, minus_lo - _mm512_reduce_add_epi32(hi));
    qr::put(block + qr::minus_lo_at(n, false) + 4 * r, minus_lo);
    if (b % 2 == 1) return;
    // The sums of this block and the next, as the bf16 dot product takes them.
    const float second = b + 1 < n_blocks ? sum_of(x + qr::kBlock) : 0.0F;
    const __m128bh pair = _mm_cvtne2ps_pbh(_mm_setzero_ps(), _mm_set_ps(0, 0, second, sum_of(x)));
    std::memcpy(block + qr::sum_at(n, false) + 4 * r, &pair, 4);
  }

  // The two bytes of 32 inputs; returns the sum of the codes, and that of the first 16.
  static int32_t quantize_wide(const float* x, float inverse, std::byte* block, size_t n, size_t r,
                               int32_t& sum_lo) {
    constexpr auto kLeast = -static_cast<int32_t>(qr::kLargestWide);
    const __m512i first = rounded(x, inverse, kLeast);
    const __m512i second = rounded(x + 16, inverse, kLeast);
    put_bytes(high_bytes(first), high_bytes(second), block + r * qr::kBlock);
    put_bytes(_mm512_cvtepi32_epi8(first), _mm512_cvtepi32_epi8(second),
              block + qr::low_at(n) + r * qr::kBlock);
    sum_lo = _mm512_reduce_add_epi32(first);
    return sum_lo + _mm512_reduce_add_epi32(second);
  }

 private:
  // What is no number becomes `least`, as no number does by itself: the sums of codes must not overflow.
  static __m512i rounded(const float* x, float inverse, int32_t least) {
    const __m512i codes = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(x), _mm512_set1_ps(inverse)));
    return _mm512_max_epi32(codes, _mm512_set1_epi32(least));
  }
  // What is left of the codes without their lowest bytes, taken as signed.
  static __m128i high_bytes(__m512i codes) {
    const __m512i half = _mm512_set1_epi32(1 << (qr::kLowBits - 1));
    return _mm512_cvtepi32_epi8(_mm512_srai_epi32(_mm512_add_epi32(codes, half), qr::kLowBits));
  }
  static void put_bytes(__m128i lo, __m128i hi, std::byte* to) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), lo);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to) + 1, hi);
  }
  static float sum_of(const float* x) {
    return _mm512_reduce_add_ps(_mm512_add_ps(_mm512_loadu_ps(x), _mm512_loadu_ps(x + 16)));
  }
};

}  // namespace

void pack_rows(const float* x, size_t n_rows, size_t n_in, RowFormat format, const Precision& precision,
               PackedRows& rows) {
  rows.format = format == RowFormat::kQ8 ? RowFormat::kQ8 : RowFormat::kF32;
  rows.n_rows = n_rows;
  rows.n_in = n_in;
  if (rows.format == RowFormat::kF32) {
    rows.bytes.ensure(n_rows * n_in * sizeof(float));
    std::memcpy(rows.bytes.data(), x, n_rows * n_in * sizeof(float));
    return;
  }
  qr::pack<Table>(x, n_rows, n_in, kTileRows, precision.n_plain, rows);
}

}  // namespace lazyfill::avx512
