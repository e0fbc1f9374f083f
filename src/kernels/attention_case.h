// What the tests of attention share: a task with its memory, and how far a kernel may be from the reference.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <random>
#include <vector>

#include "base/half.h"
#include "kernels/attention.h"
#include "kernels/kernels.h"
#include "kernels/test_isa.h"

namespace lazyfill {

// A task with its memory. Queries, keys and values are numbers that bf16 and f16 hold exactly, and the scale
// is a power of two once the kernels have multiplied it with log2(e): whatever format the products are taken
// in, the inputs do not round, and a difference to the reference is the kernel's own.
struct Case {
  AttentionTask task;
  std::vector<float> q;
  std::vector<std::byte> keys, values;
  std::vector<ColumnRange> ranges;
  std::vector<int32_t> slots;
  float largest_value = 0;

  Case(const AttentionShape& shape, size_t n_rows, size_t n_columns, ColumnType type, float q_size,
       uint32_t seed)
      : random_(seed) {
    task.shape = shape;
    task.list.n = n_columns;
    task.n_rows = n_rows;
    capacity_ = n_columns + 3;
    q = numbers(n_rows * shape.n_heads * shape.head_dim, q_size);
    const std::vector<float> k = numbers(shape.n_kv_heads * capacity_ * shape.head_dim, 1);
    const std::vector<float> v = numbers(k.size(), 1);
    for (const float x : v) largest_value = std::max(largest_value, std::fabs(x));
    keys = stored(k, type, shape.head_dim);
    values = stored(v, type, shape.head_dim);
    task.columns = {type, keys.data(), values.data(), capacity_};
    task.list.first = 2;
    see_causally();
    task.q = q.data();
  }

  void see(std::vector<ColumnRange> what) {
    ranges = std::move(what);
    task.ranges = ranges.data();
  }
  // The last row sees all columns, each row before it one less.
  void see_causally() {
    std::vector<ColumnRange> what(task.n_rows);
    for (size_t row = 0; row < task.n_rows; ++row) {
      const size_t hidden = std::min(task.n_rows - 1 - row, task.list.n - 1);
      what[row] = {0, static_cast<uint32_t>(task.list.n - hidden)};
    }
    see(std::move(what));
  }
  void see_window(uint32_t width) {
    see_causally();
    for (ColumnRange& range : ranges) range.begin = range.end > width ? range.end - width : 0;
  }
  void see_anything() {
    for (ColumnRange& range : ranges) {
      range.begin = static_cast<uint32_t>(random_() % task.list.n);
      range.end = range.begin + 1 + static_cast<uint32_t>(random_() % (task.list.n - range.begin));
    }
  }
  void shuffle_slots() {
    slots.resize(capacity_);
    std::iota(slots.begin(), slots.end(), 0);
    std::shuffle(slots.begin(), slots.end(), random_);
    task.list.slots = slots.data();
  }

  size_t out_floats() const { return task.n_rows * task.shape.n_heads * task.shape.head_dim; }

 private:
  std::vector<float> numbers(size_t n, float size) {
    std::normal_distribution<float> normal;
    std::vector<float> x(n);
    for (float& one : x) one = bf16_to_float(float_to_bf16(normal(random_) * size + 0.01F));
    return x;
  }
  // bf16 has fewer bits than f16, so only what lies below f16's smallest normal number rounds: not above
  // 2^-24.
  static std::vector<std::byte> stored(const std::vector<float>& x, ColumnType type, size_t head_dim) {
    if (type == ColumnType::kQ8) return stored_codes(x, head_dim);
    std::vector<std::byte> bytes(x.size() * (type == ColumnType::kF32 ? 4 : 2));
    for (size_t i = 0; i < x.size(); ++i) {
      if (type == ColumnType::kF32) {
        reinterpret_cast<float*>(bytes.data())[i] = x[i];
      } else {
        reinterpret_cast<uint16_t*>(bytes.data())[i] = float_to_half(x[i]);
      }
    }
    return bytes;
  }
  // Multiples of 1/32 up to 127/32, which bf16 holds exactly.
  static std::vector<std::byte> stored_codes(const std::vector<float>& x, size_t head_dim) {
    const size_t width = column_bytes(ColumnType::kQ8, head_dim);
    std::vector<std::byte> bytes(x.size() / head_dim * width);
    const uint16_t scale = float_to_half(1.0F / 32);
    for (size_t i = 0; i < x.size(); ++i) {
      std::byte* column = &bytes[i / head_dim * width];
      const float code = std::clamp(std::nearbyint(x[i] * 32), -127.0F, 127.0F);
      column[i % head_dim] = static_cast<std::byte>(static_cast<int8_t>(code));
      std::memcpy(column + head_dim + i % head_dim / kColumnBlock * 2, &scale, 2);
    }
    return bytes;
  }
  std::mt19937 random_;
  size_t capacity_ = 0;
};

// The scale of 1 / sqrt(head_dim), moved to where scale * log2(e) is a power of two.
inline float exact_scale(size_t head_dim) {
  return std::exp2(std::round(std::log2(1.442695F / std::sqrt(static_cast<float>(head_dim))))) * 0.693147181F;
}
inline AttentionShape shape_of(size_t n_heads, size_t n_kv_heads, size_t head_dim) {
  return {n_heads, n_kv_heads, head_dim, exact_scale(head_dim), 0};
}

// How far an output may lie from the reference. A score's fp32 sum of head_dim products is off by at most
// head_dim * 2^-24 of the sum of their sizes, and a weight by that much and its own rounding: 2^-9 and an
// exponential to 1e-4 where weights are bf16 (avx512), some 2^-22 in floats (capped scores). Integers (avx2)
// are rounded to 2^-12 of the largest of their tile, up to 64 weights independently: four standard deviations
// of the sum of 64 uniform errors, 4 * sqrt(64 / 12) * 2^-12, and 2^-12 for the queries, keys and values. The
// output is a mean of values by such weights, in which an error of a weight counts at most twice: in the sum
// and in what the sum is divided by.
inline float tolerance(const Kernels& kernels, const Case& c) {
  const AttentionShape& shape = c.task.shape;
  float largest_score = 0;
  for (size_t i = 0; i < c.q.size(); i += shape.head_dim) {
    float sum = 0;
    for (size_t j = 0; j < shape.head_dim; ++j)
      sum += std::fabs(c.q[i + j]) * 4;  // keys are below 4 but for a few
    largest_score = std::max(largest_score, sum * shape.scale);
  }
  const float score_error = largest_score * static_cast<float>(shape.head_dim) * 0x1p-24F;
  float weight_error = 0x1p-21F;
  if (rounds_to_bf16(kernels)) weight_error = 0x1p-9F + 1e-4F;
  if (kernels.name == "avx2" && shape.softcap == 0) weight_error = 9.3F * 0x1p-12F + 0x1p-12F;
  return 2 * c.largest_value * (score_error + weight_error);
}

inline float largest_difference(const std::vector<float>& a, const std::vector<float>& b) {
  float largest = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    if (!std::isfinite(a[i])) return std::numeric_limits<float>::infinity();
    largest = std::max(largest, std::fabs(a[i] - b[i]));
  }
  return largest;
}

inline const Kernels& reference_kernels() {
  return **kernels_for("reference");
}

}  // namespace lazyfill
