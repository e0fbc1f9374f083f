#include <immintrin.h>

#include <algorithm>
#include <cstring>

#include "kernels/avx512/matmul.h"
#include "kernels/quantized_rows.h"

namespace lazyfill::avx512 {
namespace {

namespace qr = quantized_rows;

// Quantises 32 inputs to row r of a block of n rows; returns their scaled sum.
float quantize_block(const float* x, std::byte* block, size_t n, size_t r) {
  const __m512 lo = _mm512_loadu_ps(x);
  const __m512 hi = _mm512_loadu_ps(x + 16);
  const float largest = _mm512_reduce_max_ps(_mm512_max_ps(_mm512_abs_ps(lo), _mm512_abs_ps(hi)));
  const float scale = largest / 127.0F;
  const __m512 inverse = _mm512_set1_ps(largest > 0 ? 127.0F / largest : 0.0F);
  const __m512i codes_lo = _mm512_cvtps_epi32(_mm512_mul_ps(lo, inverse));
  const __m512i codes_hi = _mm512_cvtps_epi32(_mm512_mul_ps(hi, inverse));
  auto* codes = reinterpret_cast<__m128i*>(block + r * qr::kBlock);
  _mm_storeu_si128(codes, _mm512_cvtsepi32_epi8(codes_lo));
  _mm_storeu_si128(codes + 1, _mm512_cvtsepi32_epi8(codes_hi));
  const int32_t sum_lo = _mm512_reduce_add_epi32(codes_lo);
  const int32_t sum = sum_lo + _mm512_reduce_add_epi32(codes_hi);
  const int32_t minus = -sum;
  const int32_t minus_lo = -sum_lo;
  std::memcpy(block + qr::scale_at(n) + 4 * r, &scale, 4);
  std::memcpy(block + qr::minus_at(n) + 4 * r, &minus, 4);
  std::memcpy(block + qr::minus_lo_at(n) + 4 * r, &minus_lo, 4);
  return scale * static_cast<float>(sum);
}

// n rows of n_in inputs to one tile.
void quantize_tile(const float* x, size_t n, size_t n_in, std::byte* tile) {
  const size_t n_blocks = n_in / qr::kBlock;
  for (size_t block = 0; block < n_blocks; block += 2) {
    std::byte* to = tile + block * n * qr::kRowBytes;
    for (size_t r = 0; r < n; ++r) {
      const float* from = x + r * n_in + block * qr::kBlock;
      const float first = quantize_block(from, to, n, r);
      const bool has_next = block + 1 < n_blocks;
      const float second = has_next ? quantize_block(from + qr::kBlock, to + n * qr::kRowBytes, n, r) : 0.0F;
      const __m128bh pair = _mm_cvtne2ps_pbh(_mm_setzero_ps(), _mm_set_ps(0, 0, second, first));
      std::memcpy(to + qr::sum_at(n) + 4 * r, &pair, 4);
    }
  }
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
  const size_t row_bytes = n_in / qr::kBlock * qr::kRowBytes;
  rows.bytes.ensure(n_rows * row_bytes);
  for (size_t r = 0; r < n_rows; r += kTileRows) {
    quantize_tile(x + r * n_in, std::min(kTileRows, n_rows - r), n_in, rows.bytes.data() + r * row_bytes);
  }
}

}  // namespace lazyfill::avx512
