// What the layer computes with. One table of functions per instruction set; the table is chosen once at run
// time and passed down. `reference/` is the scalar fp32 truth that every other table is tested against.
//
// Matrices are row-major. A weight matrix W is [n_out, n_in] as GGUF stores it, and a matmul is x * W^T.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/buffer.h"
#include "gguf/tensor_type.h"
#include "lazyfill/error.h"

namespace lazyfill {

// A weight matrix, or some of its rows, as it lies in the file: n_out rows of n_in elements, each row a whole
// number of blocks.
struct RawMatrix {
  gguf::TensorType type = gguf::TensorType::kF32;
  const std::byte* data = nullptr;
  size_t n_out = 0;
  size_t n_in = 0;
};

// How a packed weight wants the rows it is multiplied with.
enum class RowFormat {
  kF32,  // as they are
  kQ8,   // signed bytes with one scale per 32 inputs, or pairs of bytes with one scale per row; see Precision
  kTiles,  // as amx/ takes the rows of a prompt; no weights ask for it
};

// A weight matrix repacked for one instruction set. Immutable; only the table that packed it can read it.
struct PackedMatrix {
  size_t n_out = 0;
  size_t n_in = 0;
  int layout = 0;  // the table's own tag: which of its layouts the bytes follow
  RowFormat row_format = RowFormat::kF32;
  Buffer<std::byte> bytes;
};

// Which rows in RowFormat::kQ8 keep 8 bits an input, relative to the largest of each 32, and which 16.
struct Precision {
  size_t n_plain = std::numeric_limits<size_t>::max();  // rows before this one: 8 bits; from it on: 16 bits
  // Rows of a prompt of some length that is being read: a table may have a product for many of them, with
  // another rounding. A property of the row, so that its bits do not depend on how many rows come with it.
  bool of_prompt = false;
  bool operator==(const Precision&) const = default;
};

// Rows converted once and then multiplied with several matrices (q, k and v; gate and up).
struct PackedRows {
  RowFormat format = RowFormat::kF32;
  size_t n_rows = 0;
  size_t n_in = 0;
  Buffer<std::byte> bytes;
  size_t n_plain = 0;    // kQ8: rows of 8 bits, before those of 16; see quantized_rows.h
  Buffer<float> scales;  // kQ8: of the rows of 16 bits
};

// Columns of one layer of one sequence: keys and values in the order of computing. A key or value of kQ8 is
// head_dim signed bytes and after them a scale in fp16 for every 32 of them (the last may be for fewer).
enum class ColumnType { kF32, kF16, kQ8 };
inline constexpr size_t kColumnBlock = 32;
constexpr size_t column_bytes(ColumnType type, size_t head_dim) {
  if (type == ColumnType::kQ8) return head_dim + (head_dim + kColumnBlock - 1) / kColumnBlock * 2;
  return head_dim * (type == ColumnType::kF32 ? 4 : 2);
}
struct ColumnsView {
  ColumnType type = ColumnType::kF32;
  const std::byte* keys = nullptr;    // [n_kv_heads, capacity, head_dim]
  const std::byte* values = nullptr;  // [n_kv_heads, capacity, head_dim]
  size_t capacity = 0;                // columns per head: the stride between heads
};

// Which columns a group of rows may see, sorted by position: slots[0..n), or, where slots is null, the range
// [first, first + n) of consecutive slots.
struct ColumnList {
  const int32_t* slots = nullptr;
  int32_t first = 0;
  size_t n = 0;
};

// Half-open part of a ColumnList: because the list is sorted by position, causality and a sliding window make
// what one row sees a range of it.
struct ColumnRange {
  uint32_t begin = 0;
  uint32_t end = 0;
};

struct AttentionShape {
  size_t n_heads = 0;
  size_t n_kv_heads = 0;
  size_t head_dim = 0;
  float scale = 0;    // of q.k before the softmax
  float softcap = 0;  // 0: none; otherwise scores become softcap * tanh(score / softcap)
};

// Attention of a group of rows of one sequence.
struct AttentionTask {
  AttentionShape shape;
  ColumnsView columns;
  ColumnList list;
  const float* q = nullptr;             // [n_rows, n_heads * head_dim], rotated
  const ColumnRange* ranges = nullptr;  // [n_rows], never empty
  size_t n_rows = 0;
  // What Kernels::pack_tile made of all columns of the list: [n_kv_heads, tiles, packed_tile_bytes]. Null:
  // they are read as they are.
  const std::byte* packed = nullptr;
  // Each row reads the columns for itself, more precisely than rows that share tiles of columns do. Either
  // way a row's result is the same whatever rows it comes with.
  bool alone = false;
};
inline constexpr size_t kPackedColumns = 64;  // of a tile; tiles begin at multiples of it in the list

// A softmax not yet divided by its sum: what one part of the columns contributes to one row and head.
// Layout of a partial buffer: per (row, head) one head: [head_dim] weighted values, then maximum, then sum.
inline size_t partial_stride(const AttentionShape& shape) {
  return shape.head_dim + 2;
}

struct RopeShape {
  size_t n_heads = 0;
  size_t head_dim = 0;
  size_t rope_dim = 0;  // the first rope_dim of each head turn, the rest stay
  bool neox = false;    // pairs (i, i + rope_dim/2) instead of (2i, 2i+1)
};

enum class Activation { kSilu, kGelu };  // kGelu: the tanh approximation

struct Kernels {
  std::string_view name;   // of its instruction set
  ColumnType column_type;  // what it stores columns as by default
  // Rows that a thread best carries through a layer at once: more share the cost of unpacking a weight, fewer
  // stay in its cache and leave all threads something to do after pruning.
  size_t block_rows;

  // --- matrix products ---
  // Repacks: `begin_pack` makes the destination (it does not look at the data), `pack_outputs` fills the
  // outputs from out_begin on, a multiple of pack_granularity, of which `rows` holds the data. So a matrix
  // need never be in memory as a whole, and threads can share the work.
  Result<PackedMatrix> (*begin_pack)(const RawMatrix& raw);
  void (*pack_outputs)(const RawMatrix& rows, PackedMatrix& packed, size_t out_begin);
  size_t pack_granularity;  // also the granularity of matmul's column ranges

  // x [n_rows, n_in] -> rows in `format`. Reuses the buffers of `rows`. What a row becomes does not depend on
  // the rows beside it, only on its precision.
  void (*pack_rows)(const float* x, size_t n_rows, size_t n_in, RowFormat format, const Precision& precision,
                    PackedRows& rows);

  // out[r * ld_out + o] (+)= sum_i x[r, i] * W[o, i] for all rows and o in [out_begin, out_end).
  // out_begin is a multiple of pack_granularity; out_end too or n_out. `accumulate` adds to what is there.
  // Works for any number of rows: one row streams the weights once (decode), many are blocked (prefill).
  void (*matmul)(const PackedMatrix& w, const PackedRows& x, size_t out_begin, size_t out_end, float* out,
                 size_t ld_out, bool accumulate);

  // --- element-wise; in-place is allowed everywhere ---
  // out = x / rms(x) * weight, each of n_rows rows of d. eps as in the config.
  void (*rms_norm)(const float* x, const float* weight, float eps, size_t n_rows, size_t d, float* out);
  // gate = activation(gate) * up, n elements.
  void (*gated)(Activation activation, float* gate, const float* up, size_t n);
  // x += scale * y, n elements.
  void (*add)(float* x, const float* y, float scale, size_t n);
  // x = cap * tanh(x / cap), n elements.
  void (*softcap)(float* x, float cap, size_t n);
  // Rotates x [n_rows, n_heads, head_dim] by angles [n_rows, rope_dim / 2, 2] of (cos, sin).
  void (*rope)(const RopeShape& shape, float* x, const float* angles, size_t n_rows);

  // --- columns and attention ---
  // Stores x [n_rows, n_kv_heads * head_dim] at slots first_slot ... of one of the two halves (keys or
  // values).
  void (*store_columns)(ColumnType type, const float* x, size_t n_rows, size_t n_kv_heads, size_t head_dim,
                        size_t capacity, size_t first_slot, std::byte* half);

  // out [n_rows, n_heads * head_dim]: softmax(scale * q.k) v for the query heads of kv heads
  // [kv_begin, kv_end). Tiled: never materialises rows x columns. scratch is reused between calls.
  void (*attend)(const AttentionTask& task, size_t kv_begin, size_t kv_end, float* out,
                 Buffer<std::byte>& scratch);

  // Columns for many blocks of rows, which each would convert them for itself: columns
  // [tile * kPackedColumns, ...) of the list, as attend() multiplies them, go to `to` [packed_tile_bytes]. 0
  // bytes: attend() wants these columns as they are.
  size_t (*packed_tile_bytes)(const AttentionTask& task);
  void (*pack_tile)(const AttentionTask& task, size_t kv_head, size_t tile, std::byte* to);

  // The same as attend() for columns [part.begin, part.end) of the list only, cut with each row's range, as
  // partial softmaxes [n_rows, n_heads, partial_stride]: lets threads share the columns of a single decode
  // row. Rows that see nothing of the part give maximum -inf and sum 0.
  void (*attend_partial)(const AttentionTask& task, size_t kv_begin, size_t kv_end, ColumnRange part,
                         float* partial, Buffer<std::byte>& scratch);
  // partials [n_parts, n_rows, n_heads, partial_stride] -> out [n_rows, n_heads * head_dim].
  void (*merge_partials)(const AttentionShape& shape, const float* partials, size_t n_parts, size_t n_rows,
                         float* out);

  // Attention probabilities of each row over the list, averaged over the query heads of kv heads
  // [kv_begin, kv_end) and added to probs [n_rows, list.n] with weight 1/n_heads: all heads add up to the
  // mean. Zero outside the row's range. LazyLLM's score (section 3.2 of arXiv 2407.14057) with the last row
  // as q.
  void (*add_attention_probs)(const AttentionTask& task, size_t kv_begin, size_t kv_end, float* probs,
                              Buffer<std::byte>& scratch);
};

// An instruction set that there are kernels for.
struct InstructionSet {
  std::string_view name;
  // What keeps this machine from it, to stand after "this machine lacks it: "; empty where nothing does.
  std::string (*obstacle)();
  const Kernels& (*table)();
};

// All of this build, the plainest first and each better than those before it.
std::span<const InstructionSet> instruction_sets();

// The table for the instruction set of that name, or with an empty one for the best that this machine has.
// Fails where there is none of that name, and where this machine lacks it.
Result<const Kernels*> kernels_for(std::string_view name);

bool machine_supports(std::string_view name);

}  // namespace lazyfill
