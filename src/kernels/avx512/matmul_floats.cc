#include <immintrin.h>

#include <algorithm>
#include <cstring>

#include "kernels/avx512/matmul.h"
#include "kernels/panels.h"

namespace lazyfill::avx512 {
namespace {

using panels::kOutputs;

// Sixteen weights of one input.
struct Fp32 {
  static constexpr size_t kBytes = 4;
  static __m512 load(const std::byte* from) { return _mm512_loadu_ps(from); }
};
struct Fp16 {
  static constexpr size_t kBytes = 2;
  static __m512 load(const std::byte* from) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
  }
};
struct Bf16 {
  static constexpr size_t kBytes = 2;
  static __m512 load(const std::byte* from) {
    const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
  }
};

// R rows by P panels; `panel_bytes` lies between two panels.
template <class W, int R, int P>
void tile(const std::byte* w, size_t panel_bytes, const float* x, size_t n_in, float* out, size_t ld_out,
          const __mmask16* masks, bool accumulate) {
  __m512 acc[R][P];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 2
    for (int p = 0; p < P; ++p) {
      acc[r][p] =
          accumulate ? _mm512_maskz_loadu_ps(masks[p], out + r * ld_out + p * kOutputs) : _mm512_setzero_ps();
    }
  }
  for (size_t i = 0; i < n_in; ++i) {
    __m512 weights[P];
#pragma GCC unroll 2
    for (int p = 0; p < P; ++p) weights[p] = W::load(w + p * panel_bytes + i * kOutputs * W::kBytes);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      const __m512 input = _mm512_set1_ps(x[r * n_in + i]);
#pragma GCC unroll 2
      for (int p = 0; p < P; ++p) acc[r][p] = _mm512_fmadd_ps(input, weights[p], acc[r][p]);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 2
    for (int p = 0; p < P; ++p) _mm512_mask_storeu_ps(out + r * ld_out + p * kOutputs, masks[p], acc[r][p]);
  }
}

template <class W, int P>
void all_rows(const std::byte* w, size_t panel_bytes, const PackedRows& x, float* out, size_t ld_out,
              const __mmask16* masks, bool accumulate) {
  using Tile =
      void (*)(const std::byte*, size_t, const float*, size_t, float*, size_t, const __mmask16*, bool);
  static constexpr Tile kTiles[] = {tile<W, 1, P>, tile<W, 2, P>, tile<W, 3, P>,
                                    tile<W, 4, P>, tile<W, 5, P>, tile<W, 6, P>};
  const auto* rows = reinterpret_cast<const float*>(x.bytes.data());  // [n_rows, n_in]
  for (size_t r = 0; r < x.n_rows; r += kTileRows) {
    const size_t n = std::min(kTileRows, x.n_rows - r);
    kTiles[n - 1](w, panel_bytes, rows + r * x.n_in, x.n_in, out + r * ld_out, ld_out, masks, accumulate);
  }
}

template <class W>
void run(const PackedMatrix& w, const PackedRows& x, size_t out_begin, size_t out_end, float* out,
         size_t ld_out, bool accumulate) {
  const size_t panel_bytes = w.n_in * kOutputs * W::kBytes;
  for (size_t o = out_begin; o < out_end; o += 2 * kOutputs) {
    const size_t n = std::min(2 * kOutputs, out_end - o);
    const __mmask16 masks[2] = {static_cast<__mmask16>(n >= 16 ? 0xFFFF : (1U << n) - 1),
                                static_cast<__mmask16>(n >= 32 ? 0xFFFF : (1U << (n > 16 ? n - 16 : 0)) - 1)};
    const std::byte* panel = w.bytes.data() + o / kOutputs * panel_bytes;
    if (n > kOutputs) {
      all_rows<W, 2>(panel, panel_bytes, x, out + o, ld_out, masks, accumulate);
    } else {
      all_rows<W, 1>(panel, panel_bytes, x, out + o, ld_out, masks, accumulate);
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

}  // namespace lazyfill::avx512
