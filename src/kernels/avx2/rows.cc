#include <immintrin.h>

#include <cstring>

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

// 32 whole numbers within a byte's range, as signed bytes.
void put_bytes(const __m256i (&numbers)[4], std::byte* to) {
  const __m256i packed = _mm256_packs_epi16(_mm256_packs_epi32(numbers[0], numbers[1]),
                                            _mm256_packs_epi32(numbers[2], numbers[3]));
  // The two packs work within halves: put the groups of four back into their order.
  const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm256_permutevar8x32_epi32(packed, order));
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

  // Block b of a plain row x.
  static void quantize(const float* row, size_t b, size_t /*n_blocks*/, std::byte* block, size_t n,
                       size_t r) {
    const float* x = row + b * qr::kBlock;
    const float largest = largest_of(x);
    const float scale = largest / 127.0F;
    __m256i codes[4];
    round(x, largest > 0 ? 127.0F / largest : 0.0F, codes);
    for (__m256i& code : codes) code = _mm256_min_epi32(code, _mm256_set1_epi32(127));
    put_bytes(codes, block + r * qr::kBlock);
    const int32_t sum_lo = sum_of(_mm256_add_epi32(codes[0], codes[1]));
    const int32_t sum = sum_lo + sum_of(_mm256_add_epi32(codes[2], codes[3]));
    qr::put(block + qr::scale_at(n) + 4 * r, scale);
    qr::put(block + qr::minus_at(n, false) + 4 * r, -sum);
    qr::put(block + qr::minus_lo_at(n, false) + 4 * r, -sum_lo);
    qr::put(block + qr::sum_at(n, false) + 4 * r, scale * static_cast<float>(sum));
  }

  // 32 inputs as 16-bit numbers; returns the sum of the codes, and that of the first 16.
  static int32_t quantize_wide(const float* x, float inverse, std::byte* block, size_t /*n*/, size_t r,
                               int32_t& sum_lo) {
    __m256i codes[4];
    round(x, inverse, codes);
    sum_lo = sum_of(_mm256_add_epi32(codes[0], codes[1]));
    auto* to = reinterpret_cast<__m256i*>(block + r * qr::code_bytes(true));
    for (int i = 0; i < 4; i += 2) {
      // The pack works within halves: its fours back into their order, then the middle two of each swapped.
      const __m256i fours = _mm256_permute4x64_epi64(_mm256_packs_epi32(codes[i], codes[i + 1]), 0xD8);
      const __m256i swapped = _mm256_shufflelo_epi16(_mm256_shufflehi_epi16(fours, 0xD8), 0xD8);
      _mm256_storeu_si256(to + i / 2, swapped);
    }
    return sum_lo + sum_of(_mm256_add_epi32(codes[2], codes[3]));
  }

 private:
  static void round(const float* x, float inverse, __m256i (&codes)[4]) {
    for (int i = 0; i < 4; ++i) {
      codes[i] = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + 8 * i), _mm256_set1_ps(inverse)));
    }
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

}  // namespace lazyfill::avx2
