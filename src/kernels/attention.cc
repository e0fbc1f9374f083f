#include "kernels/attention.h"

#include <algorithm>

namespace lazyfill {

AttentionTask rows_of(const AttentionTask& task, size_t begin, size_t end) {
  AttentionTask part = task;
  part.q += begin * task.shape.n_heads * task.shape.head_dim;
  part.ranges += begin;
  part.n_rows = end - begin;
  return part;
}

namespace {

// Up to this many rows the columns are cut instead of the rows: there is no row tile to give each thread.
constexpr size_t kFewRows = 16;
// Columns of a part: the longer, the better memory is read ahead; the shorter, the less the threads wait for
// the last one. kParts over all heads leave even sixteen threads two parts each.
constexpr size_t kMinPartColumns = 256;
constexpr size_t kMaxPartColumns = 1024;
constexpr size_t kParts = 32;
constexpr size_t kTileRows = 128;

ColumnRange union_of_ranges(const AttentionTask& task) {
  ColumnRange all = task.ranges[0];
  for (size_t row = 1; row < task.n_rows; ++row) {
    all.begin = std::min(all.begin, task.ranges[row].begin);
    all.end = std::max(all.end, task.ranges[row].end);
  }
  return all;
}

// The index by which a team knows the calling thread.
size_t calling_thread(const Team& team) {
  size_t index = 0;
  team.for_each(1, [&](size_t, size_t thread) { index = thread; });
  return index;
}

void attend_by_rows(const Kernels& kernels, const AttentionTask& task, float* out, Team team,
                    AttentionScratch& scratch) {
  const AttentionShape& shape = task.shape;
  const size_t n_tiles = (task.n_rows + kTileRows - 1) / kTileRows;
  team.for_each(n_tiles * shape.n_kv_heads, [&](size_t i, size_t thread) {
    // Late rows see the most columns: they go first, so that no thread is left with a long one at the end.
    const size_t begin = (n_tiles - 1 - i / shape.n_kv_heads) * kTileRows;
    const size_t kv_head = i % shape.n_kv_heads;
    const AttentionTask tile = rows_of(task, begin, std::min(begin + kTileRows, task.n_rows));
    float* tile_out = out + begin * shape.n_heads * shape.head_dim;
    kernels.attend(tile, kv_head, kv_head + 1, tile_out, scratch.of(thread).kernel);
  });
}

void attend_by_columns(const Kernels& kernels, const AttentionTask& task, ColumnRange seen, float* out,
                       Team team, AttentionScratch& scratch) {
  const AttentionShape& shape = task.shape;
  const size_t n_columns = seen.end - seen.begin;
  const size_t part_columns =
      std::clamp((n_columns * shape.n_kv_heads / kParts + 63) / 64 * 64, kMinPartColumns, kMaxPartColumns);
  const size_t n_parts = (n_columns + part_columns - 1) / part_columns;
  const size_t part_floats = task.n_rows * shape.n_heads * partial_stride(shape);
  Buffer<float>& partials =
      scratch.of(calling_thread(team)).shared;  // [n_parts, n_rows, n_heads, partial_stride]
  partials.ensure(n_parts * part_floats);
  team.for_each(n_parts * shape.n_kv_heads, [&](size_t i, size_t thread) {
    const size_t part = i % n_parts;
    const size_t kv_head = i / n_parts;
    const size_t begin = seen.begin + part * part_columns;
    const size_t end = std::min<size_t>(begin + part_columns, seen.end);
    const ColumnRange columns{static_cast<uint32_t>(begin), static_cast<uint32_t>(end)};
    kernels.attend_partial(task, kv_head, kv_head + 1, columns, partials.data() + part * part_floats,
                           scratch.of(thread).kernel);
  });
  kernels.merge_partials(shape, partials.data(), n_parts, task.n_rows, out);
}

}  // namespace

void attention(const Kernels& kernels, const AttentionTask& task, float* out, Team team,
               AttentionScratch& scratch) {
  if (task.n_rows == 0) return;
  const ColumnRange seen = union_of_ranges(task);
  if (task.n_rows <= kFewRows && seen.end - seen.begin > kMinPartColumns) {
    attend_by_columns(kernels, task, seen, out, team, scratch);
  } else {
    attend_by_rows(kernels, task, out, team, scratch);
  }
}

void mean_attention_probs(const Kernels& kernels, const AttentionTask& task, float* probs, Team team,
                          AttentionScratch& scratch) {
  const size_t n_kv_heads = task.shape.n_kv_heads;
  const size_t n = task.n_rows * task.list.n;
  Buffer<float>& by_head = scratch.of(calling_thread(team)).shared;  // [n_kv_heads, n_rows, list.n]
  by_head.ensure(n_kv_heads * n);
  team.for_each(n_kv_heads, [&](size_t kv_head, size_t thread) {
    float* own = by_head.data() + kv_head * n;
    std::fill_n(own, n, 0.0F);
    kernels.add_attention_probs(task, kv_head, kv_head + 1, own, scratch.of(thread).kernel);
  });
  std::copy_n(by_head.data(), n, probs);
  for (size_t kv_head = 1; kv_head < n_kv_heads; ++kv_head)
    kernels.add(probs, by_head.data() + kv_head * n, 1, n);
}

}  // namespace lazyfill
