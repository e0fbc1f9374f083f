// The element-wise functions of a table (contracts in kernels.h), written once for every instruction set:
// templates over Simd (avx2/simd.h, avx512/simd.h).
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "kernels/attention_block.h"
#include "kernels/kernels.h"
#include "kernels/reference/attention.h"
#include "kernels/reference/elementwise.h"

namespace lazyfill::elementwise {

template <class Simd>
float sum_of_squares(const float* x, size_t d) {
  constexpr size_t kLanes = Simd::kLanes;
  typename Simd::Vec sums[4] = {Simd::zero(), Simd::zero(), Simd::zero(), Simd::zero()};
  size_t i = 0;
  for (; i + 4 * kLanes <= d; i += 4 * kLanes) {
    for (size_t j = 0; j < 4; ++j) {
      const auto v = Simd::load(x + i + j * kLanes);
      sums[j] = Simd::fma(v, v, sums[j]);
    }
  }
  for (; i + kLanes <= d; i += kLanes) sums[0] = Simd::fma(Simd::load(x + i), Simd::load(x + i), sums[0]);
  float sum = Simd::reduce_add(Simd::add(Simd::add(sums[0], sums[1]), Simd::add(sums[2], sums[3])));
  for (; i < d; ++i) sum += x[i] * x[i];
  return sum;
}

template <class Simd>
void rms_norm(const float* x, const float* weight, float eps, size_t n_rows, size_t d, float* out) {
  for (size_t row = 0; row < n_rows; ++row, x += d, out += d) {
    const float inverse = 1.0F / std::sqrt(sum_of_squares<Simd>(x, d) / static_cast<float>(d) + eps);
    size_t i = 0;
    for (; i + Simd::kLanes <= d; i += Simd::kLanes) {
      const auto scaled = Simd::mul(Simd::load(x + i), Simd::set1(inverse));
      Simd::store(out + i, Simd::mul(scaled, Simd::load(weight + i)));
    }
    for (; i < d; ++i) out[i] = x[i] * inverse * weight[i];
  }
}

// x / (1 + 2^-y): x * sigmoid with y in units of log2.
template <class Simd>
typename Simd::Vec times_sigmoid(typename Simd::Vec x, typename Simd::Vec minus_y) {
  const auto e = Simd::exp2(Simd::min(minus_y, Simd::set1(126)));
  return Simd::div(x, Simd::add(e, Simd::set1(1)));
}

template <class Simd>
typename Simd::Vec activate(Activation activation, typename Simd::Vec x) {
  constexpr float kLog2E = 1.44269504F;
  if (activation == Activation::kSilu) return times_sigmoid<Simd>(x, Simd::mul(x, Simd::set1(-kLog2E)));
  // 0.5 (1 + tanh(u)) = sigmoid(2 u), u = sqrt(2 / pi) (x + 0.044715 x^3)
  constexpr float kMinus2Sqrt2OverPi = -1.59576912F * kLog2E;
  const auto cubic = Simd::fma(Simd::mul(x, x), Simd::set1(0.044715F), Simd::set1(1));
  return times_sigmoid<Simd>(x, Simd::mul(Simd::mul(x, cubic), Simd::set1(kMinus2Sqrt2OverPi)));
}

template <class Simd>
void gated(Activation activation, float* gate, const float* up, size_t n) {
  size_t i = 0;
  for (; i + Simd::kLanes <= n; i += Simd::kLanes) {
    Simd::store(gate + i, Simd::mul(activate<Simd>(activation, Simd::load(gate + i)), Simd::load(up + i)));
  }
  // What is left goes the same way: an element's bits must not depend on its place.
  float rest[2][Simd::kLanes] = {};
  std::copy_n(gate + i, n - i, rest[0]);
  std::copy_n(up + i, n - i, rest[1]);
  Simd::store(rest[0], Simd::mul(activate<Simd>(activation, Simd::load(rest[0])), Simd::load(rest[1])));
  std::copy_n(rest[0], n - i, gate + i);
}

template <class Simd>
void add(float* x, const float* y, float scale, size_t n) {
  size_t i = 0;
  for (; i + Simd::kLanes <= n; i += Simd::kLanes) {
    const auto scaled = Simd::mul(Simd::load(y + i), Simd::set1(scale));
    Simd::store(x + i, Simd::add(Simd::load(x + i), scaled));
  }
  reference::add(x + i, y + i, scale, n - i);
}

template <class Simd>
typename Simd::Vec softcap(typename Simd::Vec x, float cap) {
  // In units of log2, as attention wants its scores: taken back by the last factor.
  const auto capped = tiles::softcapped<Simd>(Simd::mul(x, Simd::set1(1 / cap)), cap);
  return Simd::mul(capped, Simd::set1(tiles::kLn2));
}

template <class Simd>
void softcap(float* x, float cap, size_t n) {
  size_t i = 0;
  for (; i + Simd::kLanes <= n; i += Simd::kLanes) Simd::store(x + i, softcap<Simd>(Simd::load(x + i), cap));
  float rest[Simd::kLanes] = {};
  std::copy_n(x + i, n - i, rest);
  Simd::store(rest, softcap<Simd>(Simd::load(rest), cap));
  std::copy_n(rest, n - i, x + i);
}

// One head, pairs (2i, 2i + 1).
template <class Simd>
void turn_neighbours(float* x, const float* angles, size_t rope_dim) {
  for (size_t i = 0; i < rope_dim; i += Simd::kLanes) {
    const auto v = Simd::load(x + i);
    const auto a = Simd::load(angles + i);
    const auto crossed = Simd::mul(Simd::swap_pairs(v), Simd::second_of_pairs(a));
    Simd::store(x + i, Simd::fma_sub_add(v, Simd::first_of_pairs(a), crossed));
  }
}

// One head, pairs (i, i + rope_dim / 2).
template <class Simd>
void turn_halves(float* x, const float* angles, size_t rope_dim) {
  float* y = x + rope_dim / 2;
  for (size_t i = 0; i < rope_dim / 2; i += Simd::kLanes) {
    const auto a = Simd::load(angles + 2 * i);
    const auto b = Simd::load(angles + 2 * i + Simd::kLanes);
    const auto cosine = Simd::firsts(a, b);
    const auto sine = Simd::seconds(a, b);
    const auto first = Simd::load(x + i);
    const auto second = Simd::load(y + i);
    Simd::store(x + i, Simd::sub(Simd::mul(first, cosine), Simd::mul(second, sine)));
    Simd::store(y + i, Simd::fma(first, sine, Simd::mul(second, cosine)));
  }
}

template <class Simd>
void rope(const RopeShape& shape, float* x, const float* angles, size_t n_rows) {
  const size_t in_registers = shape.neox ? shape.rope_dim / 2 : shape.rope_dim;
  if (in_registers % Simd::kLanes != 0) return reference::rope(shape, x, angles, n_rows);
  for (size_t row = 0; row < n_rows; ++row, angles += shape.rope_dim) {
    for (size_t head = 0; head < shape.n_heads; ++head, x += shape.head_dim) {
      if (shape.neox) {
        turn_halves<Simd>(x, angles, shape.rope_dim);
      } else {
        turn_neighbours<Simd>(x, angles, shape.rope_dim);
      }
    }
  }
}

// A key or value in ColumnType::kQ8, the same bits as the reference; head_dim is a whole number of blocks.
template <class Simd>
void quantize_column(const float* x, size_t head_dim, std::byte* to) {
  const auto limit = Simd::set1(127);
  const auto least = Simd::set1(-127);
  for (size_t begin = 0; begin < head_dim; begin += kColumnBlock) {
    auto largest = Simd::zero();
    for (size_t i = begin; i < begin + kColumnBlock; i += Simd::kLanes) {
      const auto value = Simd::load(x + i);
      largest = Simd::max(largest, Simd::max(value, Simd::sub(Simd::zero(), value)));
    }
    const float scale = std::min(Simd::reduce_max(largest) / 127.0F, 65504.0F);
    std::byte* scale_at = to + head_dim + begin / kColumnBlock * 2;
    uint16_t halves[Simd::kLanes];
    Simd::store_half(halves, Simd::set1(scale));
    std::copy_n(reinterpret_cast<const std::byte*>(halves), 2, scale_at);
    const auto inverse =
        halves[0] != 0 ? Simd::div(Simd::set1(1), Simd::broadcast_half(scale_at)) : Simd::zero();
    for (size_t i = begin; i < begin + kColumnBlock; i += Simd::kLanes) {
      const auto code = Simd::mul(Simd::load(x + i), inverse);
      Simd::store_codes(reinterpret_cast<int8_t*>(to) + i, Simd::min(Simd::max(code, least), limit));
    }
  }
}

template <class Simd>
void store_columns(ColumnType type, const float* x, size_t n_rows, size_t n_kv_heads, size_t head_dim,
                   size_t capacity, size_t first_slot, std::byte* half) {
  const bool whole = head_dim % (type == ColumnType::kQ8 ? kColumnBlock : Simd::kLanes) == 0;
  if (!whole) {
    return reference::store_columns(type, x, n_rows, n_kv_heads, head_dim, capacity, first_slot, half);
  }
  if (type == ColumnType::kQ8) {
    for (size_t row = 0; row < n_rows; ++row) {
      for (size_t head = 0; head < n_kv_heads; ++head, x += head_dim) {
        const size_t slot = head * capacity + first_slot + row;
        quantize_column<Simd>(x, head_dim, half + slot * column_bytes(type, head_dim));
      }
    }
    return;
  }
  for (size_t row = 0; row < n_rows; ++row) {
    for (size_t head = 0; head < n_kv_heads; ++head) {
      const size_t first = (head * capacity + first_slot + row) * head_dim;
      for (size_t i = 0; i < head_dim; i += Simd::kLanes, x += Simd::kLanes) {
        if (type == ColumnType::kF32) {
          Simd::store(reinterpret_cast<float*>(half) + first + i, Simd::load(x));
        } else {
          Simd::store_half(reinterpret_cast<uint16_t*>(half) + first + i, Simd::load(x));
        }
      }
    }
  }
}

}  // namespace lazyfill::elementwise
