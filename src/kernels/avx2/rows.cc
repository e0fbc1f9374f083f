#include <immintrin.h>

#include <cstring>
#include <limits>

#include "kernels/avx2/matmul.h"
#include "kernels/quantized_rows.h"

namespace lazyfill::avx2 {
namespace {

namespace qr = quantized_rows;

float largest_in(__m256 values) {
  __m128 v = _mm_max_ps(_mm256_castps256_ps128(values), _mm256_extractf128_ps(values, 1));
  v = _mm_max_ps(v, _mm_movehl_ps(v, v));
  return _mm_cvtss_f32(_mm_max_ss(v, _mm_movehdup_ps(v)));
}

int32_t sum_of(__m256i values) {
  __m128i v = _mm_add_epi32(_mm256_castsi256_si128(values), _mm256_extracti128_si256(values, 1));
  v = _mm_add_epi32(v, _mm_shuffle_epi32(v, 0x4E));
  return _mm_cvtsi128_si32(_mm_add_epi32(v, _mm_shuffle_epi32(v, 0xB1)));
}

int32_t load_int(const std::byte* from) {
  int32_t value;
  std::memcpy(&value, from, 4);
  return value;
}

// 32 whole numbers as signed bytes, those beyond 127 as 127, to `to`; minus their sum, and minus the sum of
// the first 16, to row r of `minus` and `minus_lo`.
void put_codes(const __m256i (&numbers)[4], std::byte* to, std::byte* minus, std::byte* minus_lo) {
  __m256i codes[4];
  for (int i = 0; i < 4; ++i) codes[i] = _mm256_min_epi32(numbers[i], _mm256_set1_epi32(127));
  const __m256i packed =
      _mm256_packs_epi16(_mm256_packs_epi32(codes[0], codes[1]), _mm256_packs_epi32(codes[2], codes[3]));
  // The two packs work within halves: put the groups of four back into their order.
  const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm256_permutevar8x32_epi32(packed, order));
  const int32_t sum_lo = -sum_of(_mm256_add_epi32(codes[0], codes[1]));
  const int32_t sum = sum_lo - sum_of(_mm256_add_epi32(codes[2], codes[3]));
  std::memcpy(minus, &sum, 4);
  std::memcpy(minus_lo, &sum_lo, 4);
}

// How quantized_rows::pack does it here. `r` is a row of a block of n rows.
struct Table {
  static float largest_of(const float* x) {
    const __m256 sign = _mm256_set1_ps(-0.0F);
    __m256 magnitude = _mm256_setzero_ps();
    for (int i = 0; i < 4; ++i) {
      magnitude = _mm256_max_ps(magnitude, _mm256_andnot_ps(sign, _mm256_loadu_ps(x + 8 * i)));
    }
    return largest_in(magnitude);
  }

  // The codes, their scale and what is minus their sums.
  static void quantize(const float* x, std::byte* block, size_t n, size_t r) {
    const float largest = largest_of(x);
    const float scale = largest / 127.0F;
    const __m256 inverse = _mm256_set1_ps(largest > 0 ? 127.0F / largest : 0.0F);
    __m256i codes[4];
    for (int i = 0; i < 4; ++i)
      codes[i] = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + 8 * i), inverse));
    std::memcpy(block + qr::scale_at(n) + 4 * r, &scale, 4);
    put_codes(codes, block + r * qr::kBlock, block + qr::minus_at(n) + 4 * r,
              block + qr::minus_lo_at(n) + 4 * r);
  }

  // What `quantize` has left in a wide block: the second byte, or zeros for a row that does without.
  static void quantize_low(const float* x, bool keeps, std::byte* block, size_t n, size_t r) {
    float scale;
    std::memcpy(&scale, block + qr::scale_at(n) + 4 * r, 4);
    const __m256 step = _mm256_set1_ps(scale);
    const float fine_scale = scale / (1 << qr::kLowBits);
    const __m256 inverse =
        _mm256_set1_ps(keeps && fine_scale > std::numeric_limits<float>::min() ? 1.0F / fine_scale : 0.0F);
    __m256i low[4];
    for (int i = 0; i < 4; ++i) {
      const auto* codes = reinterpret_cast<const __m128i*>(block + r * qr::kBlock + 8 * i);
      const __m256 code = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(codes)));
      const __m256 rest = _mm256_fnmadd_ps(step, code, _mm256_loadu_ps(x + 8 * i));
      low[i] = _mm256_cvtps_epi32(_mm256_mul_ps(rest, inverse));
    }
    std::memcpy(block + qr::scale_at(n) + 4 * r, &fine_scale, 4);
    put_codes(low, block + qr::low_at(n) + r * qr::kBlock, block + qr::low_minus_at(n) + 4 * r,
              block + qr::low_minus_lo_at(n) + 4 * r);
  }

  static void put_sum(const float* /*x*/, size_t /*b*/, size_t /*n_blocks*/, bool is_wide, std::byte* block,
                      size_t n, size_t r) {
    int32_t minus = load_int(block + qr::minus_at(n) + 4 * r);
    if (is_wide) minus = minus * (1 << qr::kLowBits) + load_int(block + qr::low_minus_at(n) + 4 * r);
    float scale;
    std::memcpy(&scale, block + qr::scale_at(n) + 4 * r, 4);
    const float sum = -scale * static_cast<float>(minus);
    std::memcpy(block + qr::sum_at(n) + 4 * r, &sum, 4);
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

}  // namespace lazyfill::avx2
