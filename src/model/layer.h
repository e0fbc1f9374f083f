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

// Where the rows of one sequence put their columns at this layer.
struct NewColumns {
  size_t row_begin = 0;  // rows of the step
  size_t row_end = 0;
  ColumnType type = ColumnType::kF32;
  std::byte* keys = nullptr;    // [n_kv_heads, capacity, head_dim]
  std::byte* values = nullptr;  // [n_kv_heads, capacity, head_dim]
  size_t capacity = 0;
  const int32_t* slots = nullptr;  // [row_end - row_begin]; null: first_slot and on
  int32_t first_slot = 0;
  // Where the rows see no columns but their own: these before they are rounded, in fp32
  // [n_kv_heads, exact_capacity, head_dim], from exact_first on. The rows look at them, and later steps at
  // what was stored.
  std::byte* exact_keys = nullptr;
  std::byte* exact_values = nullptr;
  size_t exact_capacity = 0;
  size_t exact_first = 0;
};

// Columns that rows see, as far as their ranges go.
struct Piece {
  ColumnsView columns;
  ColumnList list;                      // sorted by position
  const ColumnRange* ranges = nullptr;  // [rows of the view] what each row sees of the list
  const float* q = nullptr;  // [rows of the view, q_dim] queries turned for this piece; null: the rows' own
};

// Neighbouring rows of one sequence, and what they see: the softmaxes of several pieces are merged.
struct View {
  size_t row_begin = 0;  // rows of the step
  size_t row_end = 0;
  // Rows before this one only add their columns: at the last layer nobody looks at their output.
  size_t first_output = 0;
  RowForm form = RowForm::kMany;
  std::span<const Piece> pieces;
  // Below 1: blocks of many rows leave out columns, but for those that hold this share of their attention.
  float attention_mass = 1;
  AttentionPairs* pairs = nullptr;  // counts what they then see; null: nobody asks
  size_t rows_behind = 0;           // newer rows of the sequence in other views
  // Room to pack the columns of many rows in; null: they are not. All pieces then have one list.
  Buffer<std::byte>* packed = nullptr;
};

// The rows of a step at a layer, of one sequence or many. Blocks of rows go across sequences; only columns
// and attention know whose they are.
struct Rows {
  size_t n_rows = 0;
  // Rows from here on have 16-bit activations in every layer: worth it for the newest row of a sequence,
  // whose attention is the score of every other token and whose output is the logits.
  size_t n_body = 0;
  // [n_body] 1 for rows of a prompt that is being read, whose products may take another form
  // (Precision::of_prompt); null: none.
  const uint8_t* of_prompt = nullptr;
  float* hidden = nullptr;        // [n_rows, d_model], in and out
  const float* angles = nullptr;  // [n_rows, rope_dim / 2, 2] cos and sin at each row's position
  float* q = nullptr;             // [n_rows, q_dim] rotated queries: out of the first pass, into the second
  std::span<const NewColumns> columns;  // by row
  std::span<const View> views;          // by row; every row in one, but for the first pass
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
    std::vector<AttentionTask> tasks;  // of the views of a block
    std::vector<AttentionGroup> groups;
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
  // Asked before each block of rows, by the thread that would compute it, with the work done so far (0 to 1)
  // within this layer; false puts the layer aside, or stops it.
  FunctionRef<bool(size_t thread, double layer_fraction)> keep_going;
};

// A layer is two passes over its rows. In between, every column is stored and every query is known, and the
// caller may change the rows: some leave with nothing more computed here, and some come in whose columns were
// stored by an earlier step.
//
// All return false when keep_going ended them between two blocks. n_done, 0 at first, counts the blocks that
// are computed: the same call goes on behind them. Until then hidden states, queries and the new columns are
// of no use to anybody else.

// First pass: queries of the rows, and their columns.
bool project(const LayerContext& context, const LayerWeights& weights, const Rows& rows, size_t& n_done);
// The same for rows that have their columns: queries alone.
bool project_queries(const LayerContext& context, const LayerWeights& weights, const Rows& rows,
                     size_t& n_done);
// Second pass, from the queries on: carries the rows to the next layer.
bool attend_and_feed_forward(const LayerContext& context, const LayerWeights& weights, const Rows& rows,
                             size_t& n_done);

}  // namespace lazyfill
