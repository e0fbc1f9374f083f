// The attention functions of a table (contracts in kernels.h) from the two templates: tiles for many rows,
// whole registers along head_dim for very few. Products is what the tiles multiply with.
#pragma once

#include <cmath>
#include <limits>

#include "kernels/attention_rows.h"
#include "kernels/attention_tiles.h"
#include "kernels/reference/attention.h"

namespace lazyfill::tiles {

template <class Simd>
bool is_row_work(const AttentionTask& task) {
  return task.alone && fits_row_attention<Simd>(task.shape);
}

// Calls finish(row, head, values, stride, reference, sum) as TiledAttention::run does.
template <class Simd, class Finish>
void run_rows(const AttentionTask& task, size_t kv_head, ColumnRange part, Buffer<std::byte>& scratch,
              Finish& finish) {
  using Rows = RowAttention<Simd>;
  const Rows rows(task, kv_head);
  const size_t group = rows.group();
  const size_t d = task.shape.head_dim;
  scratch.ensure((2 * d + Rows::kChunk + 2) * group * sizeof(float));
  auto* q = reinterpret_cast<float*>(scratch.data());
  float* scores = q + group * d;                // [group, kChunk]
  float* sums = scores + group * Rows::kChunk;  // [group, head_dim]
  float* reference = sums + group * d;
  float* sum = reference + group;
  for (size_t row = 0; row < task.n_rows; ++row) {
    const size_t end = std::min(task.ranges[row].end, part.end);
    rows.scale_queries(row, q);
    std::fill_n(sums, group * d, 0.0F);
    std::fill_n(reference, group, kNothingYet);
    std::fill_n(sum, group, 0.0F);
    for (size_t c = std::max(task.ranges[row].begin, part.begin); c < end; c += Rows::kChunk) {
      const size_t n = std::min(Rows::kChunk, end - c);
      rows.scores(q, c, n, scores, Rows::kChunk);
      for (size_t h = 0; h < group; ++h) {
        float* own = scores + h * Rows::kChunk;
        const float now = std::max(reference[h], Rows::maximum(own, Rows::kChunk));
        if (now > reference[h]) {
          const float factor = std::exp2(reference[h] - now);
          sum[h] *= factor;
          for (size_t i = 0; i < d; ++i) sums[h * d + i] *= factor;
          reference[h] = now;
        }
        sum[h] += Rows::exponentiate(own, Rows::kChunk, now);
      }
      rows.add_values(scores, Rows::kChunk, c, n, sums);
    }
    for (size_t h = 0; h < group; ++h) {
      finish(row, kv_head * group + h, sums + h * d, size_t{1}, reference[h], sum[h]);
    }
  }
}

template <class Simd, class Products, class Finish>
void run(const AttentionTask& task, size_t kv_begin, size_t kv_end, ColumnRange part,
         Buffer<std::byte>& scratch, Finish&& finish) {
  for (size_t kv_head = kv_begin; kv_head < kv_end; ++kv_head) {
    if (is_row_work<Simd>(task)) {
      run_rows<Simd>(task, kv_head, part, scratch, finish);
    } else {
      TiledAttention<Simd, Products>(task, kv_head, scratch).run(part, finish);
    }
  }
}

template <class Simd, class Products>
void attend(const AttentionTask& task, size_t kv_begin, size_t kv_end, float* out,
            Buffer<std::byte>& scratch) {
  const AttentionShape& shape = task.shape;
  const ColumnRange everything{0, static_cast<uint32_t>(task.list.n)};
  run<Simd, Products>(task, kv_begin, kv_end, everything, scratch,
                      [&](size_t row, size_t head, const float* values, size_t stride, float, float sum) {
                        float* result = out + (row * shape.n_heads + head) * shape.head_dim;
                        const float inverse = 1.0F / sum;
                        for (size_t i = 0; i < shape.head_dim; ++i) result[i] = values[i * stride] * inverse;
                      });
}

template <class Simd, class Products>
void attend_partial(const AttentionTask& task, size_t kv_begin, size_t kv_end, ColumnRange part,
                    float* partial, Buffer<std::byte>& scratch) {
  const AttentionShape& shape = task.shape;
  const size_t d = shape.head_dim;
  run<Simd, Products>(
      task, kv_begin, kv_end, part, scratch,
      [&](size_t row, size_t head, const float* values, size_t stride, float reference, float sum) {
        float* result = partial + (row * shape.n_heads + head) * partial_stride(shape);
        for (size_t i = 0; i < d; ++i) result[i] = values[i * stride];
        result[d] = sum > 0 ? reference * kLn2 : -std::numeric_limits<float>::infinity();
        result[d + 1] = sum;
      });
}

template <class Simd>
void add_attention_probs(const AttentionTask& task, size_t kv_begin, size_t kv_end, float* probs,
                         Buffer<std::byte>& scratch) {
  using Rows = RowAttention<Simd>;
  if (!fits_row_attention<Simd>(task.shape)) {
    return reference::add_attention_probs(task, kv_begin, kv_end, probs, scratch);
  }
  const size_t d = task.shape.head_dim;
  const size_t group = task.shape.n_heads / task.shape.n_kv_heads;
  const size_t stride = (task.list.n + Simd::kLanes - 1) / Simd::kLanes * Simd::kLanes;
  scratch.ensure((stride + d) * group * sizeof(float));
  auto* scores = reinterpret_cast<float*>(scratch.data());  // [group, stride]
  float* q = scores + stride * group;                       // [group, head_dim]
  for (size_t kv_head = kv_begin; kv_head < kv_end; ++kv_head) {
    const Rows rows(task, kv_head);
    for (size_t row = 0; row < task.n_rows; ++row) {
      const ColumnRange range = task.ranges[row];
      const size_t n = range.end - range.begin;
      rows.scale_queries(row, q);
      rows.scores(q, range.begin, n, scores, stride);
      float* out = probs + row * task.list.n + range.begin;
      for (size_t h = 0; h < group; ++h) {
        float* own = scores + h * stride;
        const size_t n_padded = (n + Simd::kLanes - 1) / Simd::kLanes * Simd::kLanes;
        const float sum = Rows::exponentiate(own, n_padded, Rows::maximum(own, n_padded));
        const float weight = 1.0F / (sum * static_cast<float>(task.shape.n_heads));
        for (size_t c = 0; c < n; ++c) out[c] += own[c] * weight;
      }
    }
  }
}

}  // namespace lazyfill::tiles
