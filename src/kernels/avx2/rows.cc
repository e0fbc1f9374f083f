#include <immintrin.h>

#include <algorithm>
#include <cstring>

#include "kernels/avx2/matmul.h"
#include "kernels/quantized_rows.h"

namespace lazyfill::avx2 {
namespace {

namespace qr = quantized_rows;

float largest_of(__m256 values) {
  __m128 v = _mm_max_ps(_mm256_castps256_ps128(values), _mm256_extractf128_ps(values, 1));
  v = _mm_max_ps(v, _mm_movehl_ps(v, v));
  return _mm_cvtss_f32(_mm_max_ss(v, _mm_movehdup_ps(v)));
}

int32_t sum_of(__m256i values) {
  __m128i v = _mm_add_epi32(_mm256_castsi256_si128(values), _mm256_extracti128_si256(values, 1));
  v = _mm_add_epi32(v, _mm_shuffle_epi32(v, 0x4E));
  return _mm_cvtsi128_si32(_mm_add_epi32(v, _mm_shuffle_epi32(v, 0xB1)));
}

// Quantises 32 inputs to row r of a block of n rows.
void quantize_block(const float* x, std::byte* block, size_t n, size_t r) {
  const __m256 sign = _mm256_set1_ps(-0.0F);
  __m256 values[4];
  __m256 magnitude = _mm256_setzero_ps();
  for (int i = 0; i < 4; ++i) {
    values[i] = _mm256_loadu_ps(x + 8 * i);
    magnitude = _mm256_max_ps(magnitude, _mm256_andnot_ps(sign, values[i]));
  }
  const float largest = largest_of(magnitude);
  const float scale = largest / 127.0F;
  const __m256 inverse = _mm256_set1_ps(largest > 0 ? 127.0F / largest : 0.0F);
  __m256i codes[4];
  for (int i = 0; i < 4; ++i) codes[i] = _mm256_cvtps_epi32(_mm256_mul_ps(values[i], inverse));
  const __m256i packed =
      _mm256_packs_epi16(_mm256_packs_epi32(codes[0], codes[1]), _mm256_packs_epi32(codes[2], codes[3]));
  // The two packs work within halves: put the groups of four back into their order.
  const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(block + r * qr::kBlock),
                      _mm256_permutevar8x32_epi32(packed, order));
  const int32_t sum_lo = sum_of(_mm256_add_epi32(codes[0], codes[1]));
  const int32_t sum = sum_lo + sum_of(_mm256_add_epi32(codes[2], codes[3]));
  const int32_t minus = -sum;
  const int32_t minus_lo = -sum_lo;
  const float scaled_sum = scale * static_cast<float>(sum);
  std::memcpy(block + qr::scale_at(n) + 4 * r, &scale, 4);
  std::memcpy(block + qr::minus_at(n) + 4 * r, &minus, 4);
  std::memcpy(block + qr::minus_lo_at(n) + 4 * r, &minus_lo, 4);
  std::memcpy(block + qr::sum_at(n) + 4 * r, &scaled_sum, 4);
}

}  // namespace

void pack_rows(const float* x, size_t n_rows, size_t n_in, RowFormat format, PackedRows& rows) {
  rows.format = format == RowFormat::kQ8 ? RowFormat::kQ8 : RowFormat::kF32;
  rows.n_rows = n_rows;
  rows.n_in = n_in;
  if (rows.format == RowFormat::kF32) {
    rows.bytes.ensure(n_rows * n_in * sizeof(float));
    std::memcpy(rows.bytes.data(), x, n_rows * n_in * sizeof(float));
    return;
  }
  const size_t n_blocks = n_in / qr::kBlock;
  rows.bytes.ensure(n_rows * n_blocks * qr::kRowBytes);
  for (size_t first = 0; first < n_rows; first += kTileRows) {
    const size_t n = std::min(kTileRows, n_rows - first);
    std::byte* tile = rows.bytes.data() + first * n_blocks * qr::kRowBytes;
    for (size_t block = 0; block < n_blocks; ++block) {
      for (size_t r = 0; r < n; ++r) {
        quantize_block(x + (first + r) * n_in + block * qr::kBlock, tile + block * n * qr::kRowBytes, n, r);
      }
    }
  }
}

}  // namespace lazyfill::avx2
