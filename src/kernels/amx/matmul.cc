#include "kernels/amx/matmul.h"

#include <cstring>

#include "kernels/amx/matmul_tiles.h"
#include "kernels/avx512/matmul.h"

namespace lazyfill::amx {
namespace {

// Sums of products of two bytes stay below 2^31.
constexpr size_t kMostInputs = 65536;

// 32 inputs of a row in integers, to 32 bytes of each plane.
void put_integers(const float* x, __m512 inverse, std::byte* to) {
  const auto rounded = [&](const float* from) {
    return _mm512_cvtsepi32_epi16(_mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(from), inverse)));
  };
  const __m512i integers = _mm512_inserti64x4(_mm512_castsi256_si512(rounded(x)), rounded(x + 16), 1);
  const __m512i raised = _mm512_add_epi16(integers, _mm512_set1_epi16(128));
  const auto put = [&](size_t plane, __m256i bytes) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + plane * kTileBytes), bytes);
  };
  put(0, _mm512_cvtepi16_epi8(_mm512_srai_epi16(raised, 8)));
  put(1, _mm512_cvtepi16_epi8(integers));
  put(2, _mm512_castsi512_si256(sixteenths(_mm512_castsi256_si512(_mm512_cvtepi16_epi8(raised)))));
}

float largest_of(const float* x, size_t n) {
  __m512 largest = _mm512_setzero_ps();
  for (size_t i = 0; i < n; i += 16) largest = _mm512_max_ps(largest, _mm512_abs_ps(_mm512_loadu_ps(x + i)));
  return _mm512_reduce_max_ps(largest);
}

void pack_for_tiles(const float* x, size_t n_rows, size_t n_in, PackedRows& rows) {
  const size_t n_row_tiles = (n_rows + kTileRows - 1) / kTileRows;
  rows.scales.ensure(n_row_tiles * kTileRows);
  rows.bytes.ensure(n_row_tiles * row_tile_bytes(n_in));
  for (size_t row = 0; row < n_row_tiles * kTileRows; ++row) {
    std::byte* to =
        rows.bytes.data() + row / kTileRows * row_tile_bytes(n_in) + row % kTileRows * kTileInputs;
    // A row of next to nothing is one of zeros, for the inverse of its unit would be infinite.
    const float largest = row < n_rows ? largest_of(x + row * n_in, n_in) : 0.0F;
    const bool is_zero = largest < 1e-30F;
    rows.scales.data()[row] = is_zero ? 0.0F : largest / kLargestInteger;
    const __m512 inverse = _mm512_set1_ps(is_zero ? 0.0F : kLargestInteger / largest);
    for (size_t i = 0; i < tiles_of(n_in) * kTileInputs; i += 32) {
      std::byte* planes = to + i / kTileInputs * kPlanes * kTileBytes + i % kTileInputs;
      if (row < n_rows && i < n_in) {
        put_integers(x + row * n_in + i, inverse, planes);
      } else {
        for (size_t plane = 0; plane < kPlanes; ++plane) std::memset(planes + plane * kTileBytes, 0, 32);
      }
    }
  }
}

}  // namespace

void pack_rows(const float* x, size_t n_rows, size_t n_in, RowFormat format, const Precision& precision,
               PackedRows& rows) {
  const bool in_tiles = precision.of_prompt && format == RowFormat::kQ8 && n_in <= kMostInputs;
  if (!in_tiles) return avx512::pack_rows(x, n_rows, n_in, format, precision, rows);
  rows.format = RowFormat::kTiles;
  rows.n_rows = n_rows;
  rows.n_in = n_in;
  rows.n_plain = precision.n_plain >= n_rows ? n_rows : 0;
  pack_for_tiles(x, n_rows, n_in, rows);
}

void matmul(const PackedMatrix& w, const PackedRows& x, size_t out_begin, size_t out_end, float* out,
            size_t ld_out, bool accumulate) {
  if (x.format != RowFormat::kTiles) return avx512::matmul(w, x, out_begin, out_end, out, ld_out, accumulate);
  thread_local Buffer<std::byte> scratch;
  matmul_in_tiles<ProcessorTiles>(w, x, out_begin, out_end, out, ld_out, accumulate, scratch);
}

void emulated_matmul(const PackedMatrix& w, const PackedRows& x, size_t out_begin, size_t out_end, float* out,
                     size_t ld_out, bool accumulate) {
  Buffer<std::byte> scratch;
  matmul_in_tiles<EmulatedTiles>(w, x, out_begin, out_end, out, ld_out, accumulate, scratch);
}

}  // namespace lazyfill::amx
