// One transformer layer over rows and columns. It knows nothing of where rows come from: dense prefill, a
// decode step, a pruned or a revived row are all the same to it.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/thread_pool.h"
#include "kernels/attention.h"
#include "kernels/kernels.h"
#include "kernels/matmul.h"
#include "model/config.h"
#include "model/experts.h"
#include "model/shared_input.h"
#include "model/weights.h"

namespace lazyfill {

// The neighbouring rows of a step that belong to one sequence, and the columns they add and see at this
// layer.
struct Segment {
  size_t row_begin = 0;
  size_t row_end = 0;
  ColumnType column_type = ColumnType::kF32;
  std::byte* keys = nullptr;    // [n_kv_heads, capacity, head_dim]
  std::byte* values = nullptr;  // [n_kv_heads, capacity, head_dim]
  size_t capacity = 0;
  int32_t first_new_slot = 0;  // row_begin's own column; the other rows' follow
  // Where the rows see no columns but their own: these before they are rounded, in fp32
  // [n_kv_heads, exact_capacity, head_dim]. The rows look at them, and later steps at what was stored.
  std::byte* exact_keys = nullptr;
  std::byte* exact_values = nullptr;
  size_t exact_capacity = 0;
  ColumnList visible;                   // of seen(): old and new columns, sorted by position
  const ColumnRange* ranges = nullptr;  // [row_end - row_begin] what each row sees of `visible`
  // Whether the last row has 16-bit activations in every layer: worth it for the newest row of a sequence,
  // whose attention is the score of every other token and whose output is the logits.
  bool precise_last_row = true;

  ColumnsView seen() const {
    if (exact_keys != nullptr) return {ColumnType::kF32, exact_keys, exact_values, exact_capacity};
    return {column_type, keys, values, capacity};
  }
};

struct Rows {
  size_t n_rows = 0;
  float* hidden = nullptr;        // [n_rows, d_model], in and out
  const float* angles = nullptr;  // [n_rows, rope_dim / 2, 2] cos and sin at each row's position
  float* q = nullptr;             // [n_rows, q_dim] rotated queries: out of the first pass, into the second
  std::span<const Segment> segments;
  // Rows before this one only add their columns: at the last layer nobody looks at their output.
  size_t first_output_row = 0;
  // Below 1: blocks of many rows leave out columns, but for those that hold this share of their attention.
  float attention_mass = 1;
};

// Working memory for layers, grown on first use and kept: the token loop allocates nothing.
class LayerScratch {
 public:
  explicit LayerScratch(size_t n_threads) : attention(n_threads), threads_(n_threads) {}

  struct PerThread {
    Buffer<float> normed;    // [block, d_model]
    Buffer<float> keys;      // [block, kv_dim]
    Buffer<float> values;    // [block, kv_dim]
    Buffer<float> attended;  // [block, q_dim]
    Buffer<float> gate;      // [block, d_ff]
    Buffer<float> up;        // [block, d_ff]
    SharedInput input;
    ExpertScratch experts;
  };
  PerThread& of(size_t thread) { return threads_[thread]; }

  AttentionScratch attention;

 private:
  std::vector<PerThread> threads_;
};

struct LayerContext {
  const ModelConfig& config;
  const Kernels& kernels;
  ThreadPool& pool;
  LayerScratch& scratch;
  // Asked before each block of rows, by the thread that computes it, with the work done so far (0 to 1)
  // within this layer; false stops the layer.
  FunctionRef<bool(size_t thread, double layer_fraction)> keep_going;
};

// A layer is two passes over its rows. In between, every column is stored and every query is known, and the
// caller may change the rows: some leave with nothing more computed here, and some come in whose columns were
// stored by an earlier step. All return false when keep_going stopped them: hidden states, queries and the
// new columns are then undefined.

// First pass: queries of the rows, and their columns.
bool project(const LayerContext& context, const LayerWeights& weights, const Rows& rows);
// The same for rows that have their columns: queries alone.
bool project_queries(const LayerContext& context, const LayerWeights& weights, const Rows& rows);
// Second pass, from the queries on: carries the rows to the next layer.
bool attend_and_feed_forward(const LayerContext& context, const LayerWeights& weights, const Rows& rows);

}  // namespace lazyfill
