#include "kernels/avx2/attention.h"

#include "kernels/attention_floats.h"
#include "kernels/attention_integers.h"
#include "kernels/attention_simd.h"
#include "kernels/avx2/simd.h"
#include "kernels/elementwise_simd.h"
#include "kernels/reference/attention.h"

namespace lazyfill::avx2 {
namespace {

using FloatProducts = tiles::FloatProducts<Simd>;
using IntegerProducts = tiles::IntegerProducts<Simd>;
using Columns = tiles::TileColumns<Simd, IntegerProducts>;

// Capped scores are a function of themselves before the softmax: they stay floats, as do heads of odd sizes.
bool in_integers(const AttentionTask& task) {
  return task.shape.softcap <= 0 && task.shape.head_dim % Simd::kLanes == 0;
}

}  // namespace

void store_columns(ColumnType type, const float* x, size_t n_rows, size_t n_kv_heads, size_t head_dim,
                   size_t capacity, size_t first_slot, std::byte* half) {
  elementwise::store_columns<Simd>(type, x, n_rows, n_kv_heads, head_dim, capacity, first_slot, half);
}

void attend(const AttentionTask& task, size_t kv_begin, size_t kv_end, float* out,
            Buffer<std::byte>& scratch) {
  if (in_integers(task)) return tiles::attend<Simd, IntegerProducts>(task, kv_begin, kv_end, out, scratch);
  tiles::attend<Simd, FloatProducts>(task, kv_begin, kv_end, out, scratch);
}

size_t packed_tile_bytes(const AttentionTask& task) {
  return in_integers(task) ? Columns::packed_bytes(task.shape) : 0;
}

void pack_tile(const AttentionTask& task, size_t kv_head, size_t tile, std::byte* to) {
  Columns(task, kv_head).pack(tile, to);
}

void attend_partial(const AttentionTask& task, size_t kv_begin, size_t kv_end, ColumnRange part,
                    float* partial, Buffer<std::byte>& scratch) {
  if (in_integers(task)) {
    return tiles::attend_partial<Simd, IntegerProducts>(task, kv_begin, kv_end, part, partial, scratch);
  }
  tiles::attend_partial<Simd, FloatProducts>(task, kv_begin, kv_end, part, partial, scratch);
}

void merge_partials(const AttentionShape& shape, const float* partials, size_t n_parts, size_t n_rows,
                    float* out) {
  reference::merge_partials(shape, partials, n_parts, n_rows, out);
}

void add_attention_probs(const AttentionTask& task, size_t kv_begin, size_t kv_end, float* probs,
                         Buffer<std::byte>& scratch) {
  tiles::add_attention_probs<Simd>(task, kv_begin, kv_end, probs, scratch);
}

}  // namespace lazyfill::avx2
