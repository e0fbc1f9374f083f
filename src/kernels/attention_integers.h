// Attention in pairs of 16-bit integers (vpmaddwd, vpdpwssd): twice the products of an instruction of floats.
// Queries and keys have a scale each, the values of a tile of columns one for each element, weights one for
// each lane and tile. Everything keeps 12 bits or more, so the rounding is below that of fp16 or near it.
//
// A template over Simd. Heads are whole registers: head_dim is a multiple of Simd::kLanes.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "kernels/attention_block.h"

namespace lazyfill::tiles {

template <class Simd>
struct IntegerProducts {
  using Vec = typename Simd::Vec;
  static constexpr size_t kPair = 2;
  static constexpr bool kScaled = true;
  static constexpr int kWeightBits = 12;
  static constexpr int kLargestWeight = 1 << kWeightBits;
  static constexpr int kLargestValue = 8191;
  // What is smaller is as good as zero: a factor that makes it an integer would be infinite.
  static constexpr float kSmallest = 1e-30F;
  static_assert(int64_t{kLargestWeight} * kLargestValue * kTileColumns < std::numeric_limits<int32_t>::max());

  // Integers travel in the registers of floats.
  static Vec dot(Vec a, Vec b, Vec c) { return Simd::add_integer_pairs(c, a, b); }
  static Vec add(Vec a, Vec b) { return Simd::add_integers(a, b); }
  static Vec to_float(Vec x) { return Simd::integers_to_floats(x); }
  static Vec pair(Vec first, Vec second) { return Simd::lower_halves(first, second); }
  // 2^x as the nearest integer, for x up to kWeightBits.
  static Vec weight(Vec x) { return Simd::exp2_to_integer(x); }

  // The largest magnitude that d products of a query and a key can be summed with in 32 bits.
  static float largest_input(size_t d) {
    return std::min(32767.0F, std::floor(std::sqrt(2147483647.0F / static_cast<float>(d)) - 0.5F));
  }

  // A query or a key of d elements, load(i) being those from i on, in integers: words [d / 2]. Returns its
  // scale.
  template <class Load>
  static float pack_vector(const Load& load, size_t d, uint32_t* words) {
    Vec largest_lanes = Simd::zero();
    for (size_t i = 0; i < d; i += Simd::kLanes)
      largest_lanes = Simd::max(largest_lanes, Simd::magnitude(load(i)));
    const float largest = Simd::reduce_max(largest_lanes);
    const float limit = largest_input(d);
    const Vec factor = Simd::set1(limit / std::max(largest, kSmallest));
    for (size_t i = 0; i < d; i += Simd::kLanes)
      Simd::store_shorts(words + i / 2, Simd::mul(load(i), factor));
    return largest / limit;
  }

  // The values of n columns, load(c, i) being the elements of column c from i on: words [(n + 1) / 2, d],
  // pairs of neighbouring columns, and a scale for each element.
  template <class Load>
  static void pack_values(const Load& load, size_t n, size_t d, uint32_t* words, float* scales) {
    for (size_t i = 0; i < d; i += Simd::kLanes) {
      Vec largest = Simd::zero();
      for (size_t c = 0; c < n; ++c) largest = Simd::max(largest, Simd::magnitude(load(c, i)));
      Simd::store(scales + i, Simd::mul(largest, Simd::set1(1.0F / kLargestValue)));
      const Vec factor = Simd::div(Simd::set1(kLargestValue), Simd::max(largest, Simd::set1(kSmallest)));
      for (size_t c = 0; c < n; c += 2, words += d) {
        const Vec first = Simd::mul(load(c, i), factor);
        const Vec second = c + 1 < n ? Simd::mul(load(c + 1, i), factor) : Simd::zero();
        Simd::store(reinterpret_cast<float*>(words + i), Simd::short_pairs(first, second));
      }
      words -= (n + 1) / 2 * d;
    }
  }
};

}  // namespace lazyfill::tiles
