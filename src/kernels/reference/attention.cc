#include "kernels/reference/attention.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/half.h"

namespace lazyfill::reference {
namespace {

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

size_t slot_of(const ColumnList& list, size_t index) {
  return list.slots != nullptr ? static_cast<size_t>(list.slots[index])
                               : static_cast<size_t>(list.first) + index;
}

// A column of one kv head: `half` is keys or values.
class Column {
 public:
  Column(const ColumnsView& columns, const std::byte* half, size_t kv_head, size_t slot, size_t head_dim)
      : type_(columns.type),
        head_dim_(head_dim),
        data_(half + (kv_head * columns.capacity + slot) * column_bytes(type_, head_dim)) {}
  Column(ColumnType type, const std::byte* data, size_t head_dim)
      : type_(type), head_dim_(head_dim), data_(data) {}

  float operator[](size_t i) const {
    if (type_ == ColumnType::kF32) return reinterpret_cast<const float*>(data_)[i];
    if (type_ == ColumnType::kF16) return half_to_float(reinterpret_cast<const uint16_t*>(data_)[i]);
    uint16_t scale;
    std::memcpy(&scale, data_ + head_dim_ + i / kColumnBlock * 2, 2);
    return half_to_float(scale) * static_cast<float>(static_cast<int8_t>(data_[i]));
  }

 private:
  ColumnType type_;
  size_t head_dim_;
  const std::byte* data_;
};

// kQ8: the scale is rounded before it is used, so that its own rounding costs nothing.
void quantize_column(const float* x, size_t head_dim, std::byte* to) {
  for (size_t begin = 0; begin < head_dim; begin += kColumnBlock) {
    const size_t end = std::min(begin + kColumnBlock, head_dim);
    float largest = 0;
    for (size_t i = begin; i < end; ++i) largest = std::max(largest, std::fabs(x[i]));
    const uint16_t scale = float_to_half(std::min(largest / 127.0F, 65504.0F));
    std::memcpy(to + head_dim + begin / kColumnBlock * 2, &scale, 2);
    const float inverse = scale != 0 ? 1.0F / half_to_float(scale) : 0.0F;
    for (size_t i = begin; i < end; ++i) {
      const float code = std::clamp(x[i] * inverse, -127.0F, 127.0F);
      to[i] = static_cast<std::byte>(static_cast<int8_t>(std::nearbyint(code)));
    }
  }
}

ColumnRange intersection(ColumnRange a, ColumnRange b) {
  const uint32_t begin = std::max(a.begin, b.begin);
  return {begin, std::max(begin, std::min(a.end, b.end))};
}

float score(const AttentionShape& shape, const float* q, const Column& key) {
  double dot = 0;
  for (size_t i = 0; i < shape.head_dim; ++i) dot += static_cast<double>(q[i]) * key[i];
  const float scaled = static_cast<float>(dot * shape.scale);
  return shape.softcap > 0 ? shape.softcap * std::tanh(scaled / shape.softcap) : scaled;
}

// scores [range.end - range.begin]; returns their maximum, -inf for an empty range.
float score_columns(const AttentionTask& task, size_t row, size_t head, ColumnRange range, float* scores) {
  const AttentionShape& shape = task.shape;
  const size_t kv_head = head / (shape.n_heads / shape.n_kv_heads);
  const float* q = task.q + (row * shape.n_heads + head) * shape.head_dim;
  float maximum = kMinusInfinity;
  for (uint32_t c = range.begin; c < range.end; ++c) {
    const Column key(task.columns, task.columns.keys, kv_head, slot_of(task.list, c), shape.head_dim);
    scores[c - range.begin] = score(shape, q, key);
    maximum = std::max(maximum, scores[c - range.begin]);
  }
  return maximum;
}

// One row and head over `range`: sums [head_dim] = sum of exp(score - maximum) * value. Returns the maximum
// and the sum of the exponentials.
struct SoftmaxParts {
  float maximum = kMinusInfinity;
  double sum = 0;
};
SoftmaxParts weigh_values(const AttentionTask& task, size_t row, size_t head, ColumnRange range,
                          float* scores, double* sums) {
  const AttentionShape& shape = task.shape;
  const size_t kv_head = head / (shape.n_heads / shape.n_kv_heads);
  SoftmaxParts parts;
  parts.maximum = score_columns(task, row, head, range, scores);
  std::fill_n(sums, shape.head_dim, 0.0);
  for (uint32_t c = range.begin; c < range.end; ++c) {
    const double weight = std::exp(static_cast<double>(scores[c - range.begin]) - parts.maximum);
    const Column value(task.columns, task.columns.values, kv_head, slot_of(task.list, c), shape.head_dim);
    parts.sum += weight;
    for (size_t i = 0; i < shape.head_dim; ++i) sums[i] += weight * value[i];
  }
  return parts;
}

// scratch: [head_dim] doubles, then [list.n] floats.
double* sums_in(const AttentionTask& task, Buffer<std::byte>& scratch) {
  scratch.ensure(task.shape.head_dim * sizeof(double) + task.list.n * sizeof(float));
  return reinterpret_cast<double*>(scratch.data());
}
float* scores_in(const AttentionTask& task, Buffer<std::byte>& scratch) {
  return reinterpret_cast<float*>(sums_in(task, scratch) + task.shape.head_dim);
}

template <class Fn>
void for_each_head(const AttentionTask& task, size_t kv_begin, size_t kv_end, Fn&& fn) {
  const size_t group = task.shape.n_heads / task.shape.n_kv_heads;
  for (size_t row = 0; row < task.n_rows; ++row) {
    for (size_t head = kv_begin * group; head < kv_end * group; ++head) fn(row, head);
  }
}

}  // namespace

void store_columns(ColumnType type, const float* x, size_t n_rows, size_t n_kv_heads, size_t head_dim,
                   size_t capacity, size_t first_slot, std::byte* half) {
  for (size_t row = 0; row < n_rows; ++row) {
    for (size_t head = 0; head < n_kv_heads; ++head, x += head_dim) {
      std::byte* to = half + (head * capacity + first_slot + row) * column_bytes(type, head_dim);
      if (type == ColumnType::kF32) {
        std::copy_n(x, head_dim, reinterpret_cast<float*>(to));
      } else if (type == ColumnType::kF16) {
        std::transform(x, x + head_dim, reinterpret_cast<uint16_t*>(to), float_to_half);
      } else {
        quantize_column(x, head_dim, to);
      }
    }
  }
}

void load_column(ColumnType type, const std::byte* column, size_t head_dim, float* out) {
  const Column from(type, column, head_dim);
  for (size_t i = 0; i < head_dim; ++i) out[i] = from[i];
}

void attend(const AttentionTask& task, size_t kv_begin, size_t kv_end, float* out,
            Buffer<std::byte>& scratch) {
  const AttentionShape& shape = task.shape;
  float* scores = scores_in(task, scratch);
  double* sums = sums_in(task, scratch);
  for_each_head(task, kv_begin, kv_end, [&](size_t row, size_t head) {
    const SoftmaxParts parts = weigh_values(task, row, head, task.ranges[row], scores, sums);
    float* result = out + (row * shape.n_heads + head) * shape.head_dim;
    for (size_t i = 0; i < shape.head_dim; ++i) result[i] = static_cast<float>(sums[i] / parts.sum);
  });
}

size_t packed_tile_bytes(const AttentionTask& /*task*/) {
  return 0;
}

void pack_tile(const AttentionTask& /*task*/, size_t /*kv_head*/, size_t /*tile*/, std::byte* /*to*/) {}

void attend_partial(const AttentionTask& task, size_t kv_begin, size_t kv_end, ColumnRange part,
                    float* partial, Buffer<std::byte>& scratch) {
  const AttentionShape& shape = task.shape;
  float* scores = scores_in(task, scratch);
  double* sums = sums_in(task, scratch);
  for_each_head(task, kv_begin, kv_end, [&](size_t row, size_t head) {
    const ColumnRange seen = intersection(task.ranges[row], part);
    const SoftmaxParts parts = weigh_values(task, row, head, seen, scores, sums);
    float* result = partial + (row * shape.n_heads + head) * partial_stride(shape);
    std::copy_n(sums, shape.head_dim, result);
    result[shape.head_dim] = parts.maximum;
    result[shape.head_dim + 1] = static_cast<float>(parts.sum);
  });
}

void merge_partials(const AttentionShape& shape, const float* partials, size_t n_parts, size_t n_rows,
                    float* out) {
  const size_t stride = partial_stride(shape);
  const size_t n = n_rows * shape.n_heads;
  const size_t d = shape.head_dim;
  for (size_t h = 0; h < n; ++h, out += d) {
    float maximum = kMinusInfinity;
    for (size_t p = 0; p < n_parts; ++p) maximum = std::max(maximum, partials[(p * n + h) * stride + d]);
    std::fill_n(out, d, 0.0F);
    double sum = 0;
    for (size_t p = 0; p < n_parts; ++p) {
      const float* partial = partials + (p * n + h) * stride;
      if (partial[d + 1] == 0) continue;  // saw nothing: its maximum is -inf
      const float weight = std::exp(partial[d] - maximum);
      sum += static_cast<double>(weight) * partial[d + 1];
      for (size_t i = 0; i < d; ++i) out[i] += weight * partial[i];
    }
    const float inverse = static_cast<float>(1.0 / sum);
    for (size_t i = 0; i < d; ++i) out[i] *= inverse;
  }
}

void add_attention_probs(const AttentionTask& task, size_t kv_begin, size_t kv_end, float* probs,
                         Buffer<std::byte>& scratch) {
  float* scores = scores_in(task, scratch);
  for_each_head(task, kv_begin, kv_end, [&](size_t row, size_t head) {
    const ColumnRange range = task.ranges[row];
    const float maximum = score_columns(task, row, head, range, scores);
    double sum = 0;
    for (uint32_t c = range.begin; c < range.end; ++c) {
      sum += std::exp(static_cast<double>(scores[c - range.begin]) - maximum);
    }
    const double weight = 1.0 / (sum * static_cast<double>(task.shape.n_heads));
    float* row_probs = probs + row * task.list.n;
    for (uint32_t c = range.begin; c < range.end; ++c) {
      const double p = std::exp(static_cast<double>(scores[c - range.begin]) - maximum) * weight;
      row_probs[c] += static_cast<float>(p);
    }
  });
}

}  // namespace lazyfill::reference
