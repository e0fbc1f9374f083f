// What tiled attention multiplies with where it computes in floats.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace lazyfill::tiles {

// Products of floats.
template <class Simd>
struct FloatProducts {
  using Vec = typename Simd::Vec;
  static constexpr size_t kPair = 1;
  static constexpr bool kScaled = false;

  static Vec dot(Vec a, Vec b, Vec c) { return Simd::fma(a, b, c); }
  static Vec exp2(Vec x) { return Simd::exp2(x); }
  static uint32_t pack_query(const float* q, float scale) { return std::bit_cast<uint32_t>(*q * scale); }

  static void load_key(const uint16_t* halves, size_t d, uint32_t* words) {
    auto* out = reinterpret_cast<float*>(words);
    for (size_t i = 0; i < d; i += 8) Simd::convert_8_halves(halves + i, out + i);
  }
  static void load_key(const float* floats, size_t d, uint32_t* words) {
    std::copy_n(floats, d, reinterpret_cast<float*>(words));
  }
  template <class T>
  static void load_values(const T* value, const T* /*next*/, bool /*second*/, size_t d, uint32_t* words) {
    load_key(value, d, words);
  }
  template <size_t kWidth>
  static void store_weights(float* weights, size_t column, Vec first, Vec second) {
    Simd::store(weights + column * kWidth, first);
    Simd::store(weights + (column + 1) * kWidth, second);
  }
};

}  // namespace lazyfill::tiles
