#include <immintrin.h>

#include <cstring>
#include <limits>

#include "kernels/avx512/matmul.h"
#include "kernels/quantized_rows.h"

namespace lazyfill::avx512 {
namespace {

namespace qr = quantized_rows;

// 32 whole numbers as signed bytes, those beyond 127 as 127, to `to`; minus their sum, and minus the sum of
// the first 16, to `minus` and `minus_lo`.
void put_codes(__m512i lo, __m512i hi, std::byte* to, std::byte* minus, std::byte* minus_lo) {
  lo = _mm512_min_epi32(lo, _mm512_set1_epi32(127));
  hi = _mm512_min_epi32(hi, _mm512_set1_epi32(127));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm512_cvtsepi32_epi8(lo));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to) + 1, _mm512_cvtsepi32_epi8(hi));
  const int32_t sum_lo = -_mm512_reduce_add_epi32(lo);
  const int32_t sum = sum_lo - _mm512_reduce_add_epi32(hi);
  std::memcpy(minus, &sum, 4);
  std::memcpy(minus_lo, &sum_lo, 4);
}

// How quantized_rows::pack does it here. `r` is a row of a block of n rows.
struct Table {
  static float largest_of(const float* x) {
    const __m512 lo = _mm512_abs_ps(_mm512_loadu_ps(x));
    const __m512 hi = _mm512_abs_ps(_mm512_loadu_ps(x + 16));
    return _mm512_reduce_max_ps(_mm512_max_ps(lo, hi));
  }

  // The codes, their scale and what is minus their sums.
  static void quantize(const float* x, std::byte* block, size_t n, size_t r) {
    const float largest = largest_of(x);
    const float scale = largest / 127.0F;
    const __m512 inverse = _mm512_set1_ps(largest > 0 ? 127.0F / largest : 0.0F);
    const __m512i lo = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(x), inverse));
    const __m512i hi = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(x + 16), inverse));
    std::memcpy(block + qr::scale_at(n) + 4 * r, &scale, 4);
    put_codes(lo, hi, block + r * qr::kBlock, block + qr::minus_at(n) + 4 * r,
              block + qr::minus_lo_at(n) + 4 * r);
  }

  // In even blocks the sums of this block and the next, as the bf16 dot product takes them.
  static void put_sum(const float* x, size_t b, size_t n_blocks, bool /*is_wide*/, std::byte* block, size_t n,
                      size_t r) {
    if (b % 2 == 1) return;
    const float first = sum_of(x);
    const float second = b + 1 < n_blocks ? sum_of(x + qr::kBlock) : 0.0F;
    const __m128bh pair = _mm_cvtne2ps_pbh(_mm_setzero_ps(), _mm_set_ps(0, 0, second, first));
    std::memcpy(block + qr::sum_at(n) + 4 * r, &pair, 4);
  }

  // What `quantize` has left in a wide block: the second byte, or zeros for a row that does without.
  static void quantize_low(const float* x, bool keeps, std::byte* block, size_t n, size_t r) {
    float scale;
    std::memcpy(&scale, block + qr::scale_at(n) + 4 * r, 4);
    const float fine_scale = scale / (1 << qr::kLowBits);
    const __m512 step = _mm512_set1_ps(scale);
    const __m512 inverse =
        _mm512_set1_ps(keeps && fine_scale > std::numeric_limits<float>::min() ? 1.0F / fine_scale : 0.0F);
    const auto rest = [&](int i) {
      const auto* codes = reinterpret_cast<const __m128i*>(block + r * qr::kBlock + 16 * i);
      const __m512 code = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(codes)));
      return _mm512_cvtps_epi32(
          _mm512_mul_ps(_mm512_fnmadd_ps(step, code, _mm512_loadu_ps(x + 16 * i)), inverse));
    };
    std::memcpy(block + qr::scale_at(n) + 4 * r, &fine_scale, 4);
    put_codes(rest(0), rest(1), block + qr::low_at(n) + r * qr::kBlock, block + qr::low_minus_at(n) + 4 * r,
              block + qr::low_minus_lo_at(n) + 4 * r);
  }

 private:
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
  qr::pack<Table>(x, n_rows, n_in, kTileRows, precision, rows);
}

}  // namespace lazyfill::avx512
