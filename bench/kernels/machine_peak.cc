#include "machine_peak.h"

#include <immintrin.h>

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace lazyfill::bench {
namespace {

constexpr int kChains = 12;  // more than latency times throughput of any core
constexpr int kRounds = 100000;

__attribute__((target("avx2,fma"))) float fma_avx2() {
  __m256 acc[kChains];
  for (int i = 0; i < kChains; ++i) acc[i] = _mm256_set1_ps(static_cast<float>(i));
  __m256 factor = _mm256_set1_ps(0.999F);
  for (int round = 0; round < kRounds; ++round) {
#pragma GCC unroll 12
    for (int i = 0; i < kChains; ++i) acc[i] = _mm256_fmadd_ps(acc[i], factor, factor);
  }
  for (int i = 1; i < kChains; ++i) acc[0] = _mm256_add_ps(acc[0], acc[i]);
  return _mm256_cvtss_f32(acc[0]);
}

__attribute__((target("avx512f"))) float fma_avx512() {
  __m512 acc[kChains];
  for (int i = 0; i < kChains; ++i) acc[i] = _mm512_set1_ps(static_cast<float>(i));
  __m512 factor = _mm512_set1_ps(0.999F);
  for (int round = 0; round < kRounds; ++round) {
#pragma GCC unroll 12
    for (int i = 0; i < kChains; ++i) acc[i] = _mm512_fmadd_ps(acc[i], factor, factor);
  }
  for (int i = 1; i < kChains; ++i) acc[0] = _mm512_add_ps(acc[0], acc[i]);
  return _mm512_cvtss_f32(acc[0]);
}

__attribute__((target("avx2"))) float sum_avx2(std::span<const float> values) {
  __m256 acc[4] = {};
  for (size_t i = 0; i + 32 <= values.size(); i += 32) {
#pragma GCC unroll 4
    for (size_t j = 0; j < 4; ++j) acc[j] = _mm256_add_ps(acc[j], _mm256_loadu_ps(&values[i + 8 * j]));
  }
  return _mm256_cvtss_f32(_mm256_add_ps(_mm256_add_ps(acc[0], acc[1]), _mm256_add_ps(acc[2], acc[3])));
}

__attribute__((target("avx512f"))) float sum_avx512(std::span<const float> values) {
  __m512 acc[4] = {};
  for (size_t i = 0; i + 64 <= values.size(); i += 64) {
#pragma GCC unroll 4
    for (size_t j = 0; j < 4; ++j) acc[j] = _mm512_add_ps(acc[j], _mm512_loadu_ps(&values[i + 16 * j]));
  }
  return _mm512_cvtss_f32(_mm512_add_ps(_mm512_add_ps(acc[0], acc[1]), _mm512_add_ps(acc[2], acc[3])));
}

bool is_wide(const Kernels& kernels) {
  return kernels.name != "avx2";
}

}  // namespace

double peak_gflops(const Kernels& kernels) {
  const bool wide = is_wide(kernels);
  double best_s = 1e9;
  for (int repeat = 0; repeat < 20; ++repeat) {
    const auto begin = std::chrono::steady_clock::now();
    volatile float result = wide ? fma_avx512() : fma_avx2();
    (void)result;
    best_s =
        std::min(best_s, std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  }
  return 2.0 * (wide ? 16 : 8) * kChains * kRounds / best_s / 1e9;
}

double peak_tile_gflops() {
  struct Config {
    uint8_t palette = 1;
    uint8_t start_row = 0;
    uint8_t reserved[14] = {};
    uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    uint8_t n_rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
  };
  const Config config;
  asm volatile("ldtilecfg %0" : : "m"(config));
  double best_s = 1e9;
  for (int repeat = 0; repeat < 20; ++repeat) {
    const auto begin = std::chrono::steady_clock::now();
    for (int round = 0; round < kRounds / 4; ++round) {
      asm volatile("tdpbf16ps %tmm6, %tmm4, %tmm0");
      asm volatile("tdpbf16ps %tmm7, %tmm4, %tmm1");
      asm volatile("tdpbf16ps %tmm6, %tmm5, %tmm2");
      asm volatile("tdpbf16ps %tmm7, %tmm5, %tmm3");
    }
    best_s =
        std::min(best_s, std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  }
  asm volatile("tilerelease");
  return 2.0 * 16 * 16 * 32 * kRounds / best_s / 1e9;
}

float sum_of(std::span<const float> values, const Kernels& kernels) {
  return is_wide(kernels) ? sum_avx512(values) : sum_avx2(values);
}

}  // namespace lazyfill::bench
