#include <immintrin.h>

#include <algorithm>
#include <cstring>

#include "kernels/avx2/matmul.h"
#include "kernels/panels.h"

namespace lazyfill::avx2 {
namespace {

using panels::kOutputs;

// Eight weights of one input.
struct Fp32 {
  using Element = float;
  static __m256 load(const float* from) { return _mm256_loadu_ps(from); }
};
struct Fp16 {
  using Element = uint16_t;
  static __m256 load(const uint16_t* from) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
  }
};
struct Bf16 {
  using Element = uint16_t;
  static __m256 load(const uint16_t* from) {
    const __m128i bits = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
  }
};

constexpr size_t kRows = 6;  // with two registers of outputs each: twelve accumulators

// R rows by one panel, of which the first n_out outputs are there.
template <class W, int R>
void tile(const typename W::Element* w, const float* x, size_t n_in, float* out, size_t ld_out, size_t n_out,
          bool accumulate) {
  alignas(32) float sums[R][kOutputs] = {};
  for (int r = 0; r < R && accumulate; ++r) std::copy_n(out + r * ld_out, n_out, sums[r]);
  __m256 acc[R][2];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
    acc[r][0] = _mm256_load_ps(sums[r]);
    acc[r][1] = _mm256_load_ps(sums[r] + 8);
  }
  for (size_t i = 0; i < n_in; ++i, w += kOutputs) {
    const __m256 lo = W::load(w);
    const __m256 hi = W::load(w + 8);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      const __m256 input = _mm256_broadcast_ss(x + r * n_in + i);
      acc[r][0] = _mm256_fmadd_ps(input, lo, acc[r][0]);
      acc[r][1] = _mm256_fmadd_ps(input, hi, acc[r][1]);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
    _mm256_store_ps(sums[r], acc[r][0]);
    _mm256_store_ps(sums[r] + 8, acc[r][1]);
  }
  for (int r = 0; r < R; ++r) std::copy_n(sums[r], n_out, out + r * ld_out);
}

template <class W>
void run(const PackedMatrix& w, const PackedRows& x, size_t out_begin, size_t out_end, float* out,
         size_t ld_out, bool accumulate) {
  using Tile = void (*)(const typename W::Element*, const float*, size_t, float*, size_t, size_t, bool);
  static constexpr Tile kTiles[] = {tile<W, 1>, tile<W, 2>, tile<W, 3>, tile<W, 4>, tile<W, 5>, tile<W, 6>};
  static_assert(std::size(kTiles) == kRows);
  const auto* panels = reinterpret_cast<const typename W::Element*>(w.bytes.data());
  const auto* rows = reinterpret_cast<const float*>(x.bytes.data());  // [n_rows, n_in]
  for (size_t o = out_begin; o < out_end; o += kOutputs) {
    for (size_t r = 0; r < x.n_rows; r += kRows) {
      const size_t n = std::min(kRows, x.n_rows - r);
      kTiles[n - 1](panels + o * w.n_in, rows + r * w.n_in, w.n_in, out + r * ld_out + o, ld_out,
                    std::min(kOutputs, out_end - o), accumulate);
    }
  }
}

}  // namespace

void matmul_floats(const PackedMatrix& w, const PackedRows& x, size_t out_begin, size_t out_end, float* out,
                   size_t ld_out, bool accumulate) {
  if (w.layout == panels::kF32) run<Fp32>(w, x, out_begin, out_end, out, ld_out, accumulate);
  if (w.layout == panels::kF16) run<Fp16>(w, x, out_begin, out_end, out, ld_out, accumulate);
  if (w.layout == panels::kBf16) run<Bf16>(w, x, out_begin, out_end, out, ld_out, accumulate);
}

}  // namespace lazyfill::avx2
