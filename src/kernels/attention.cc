#include "kernels/attention.h"

#include <algorithm>
#include <array>
#include <span>

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

size_t size(const ColumnRange& range) {
  return range.end - range.begin;
}

ColumnRange hull(const ColumnRange& a, const ColumnRange& b) {
  return {std::min(a.begin, b.begin), std::max(a.end, b.end)};
}

// Neighbouring rows that read their columns together, of few rows.
struct Run {
  size_t begin = 0;
  size_t end = 0;
  ColumnRange seen;
  size_t part_columns = 0;
  size_t n_parts = 0;
  size_t first_float = 0;  // of its partial results
};
struct Runs {
  std::array<Run, kFewRows> runs;
  size_t n = 0;
  std::span<Run> all() { return {runs.data(), n}; }
};

// Rows that came back to a layer with a window may lie far apart: read together, all that lies between them
// would be read and masked. Rows go together as long as that is no more than twice what one of them sees.
Runs cut_into_runs(const AttentionTask& task, bool last_row_alone) {
  Runs runs;
  size_t widest = 0;  // range of a row of the run
  for (size_t row = 0; row < task.n_rows; ++row) {
    const ColumnRange& range = task.ranges[row];
    if (runs.n > 0 && !(last_row_alone && row + 1 == task.n_rows)) {
      Run& last = runs.runs[runs.n - 1];
      const ColumnRange both = hull(last.seen, range);
      if (size(both) <= 2 * std::max(widest, size(range))) {
        last.end = row + 1;
        last.seen = both;
        widest = std::max(widest, size(range));
        continue;
      }
    }
    runs.runs[runs.n++] = {row, row + 1, range, 0, 0, 0};
    widest = size(range);
  }
  return runs;
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

void attend_by_columns(const Kernels& kernels, const AttentionTask& task, Runs runs, float* out, Team team,
                       AttentionScratch& scratch) {
  const AttentionShape& shape = task.shape;
  const size_t row_floats = shape.n_heads * partial_stride(shape);
  size_t n_parts = 0;
  size_t n_floats = 0;
  for (Run& run : runs.all()) {
    const size_t n_columns = size(run.seen);
    run.part_columns =
        std::clamp((n_columns * shape.n_kv_heads / kParts + 63) / 64 * 64, kMinPartColumns, kMaxPartColumns);
    run.n_parts = (n_columns + run.part_columns - 1) / run.part_columns;
    run.first_float = n_floats;
    n_parts += run.n_parts;
    n_floats += run.n_parts * (run.end - run.begin) * row_floats;
  }
  // Of each run [n_parts, n_rows, n_heads, partial_stride].
  Buffer<float>& partials = scratch.of(calling_thread(team)).shared;
  partials.ensure(n_floats);
  team.for_each(n_parts * shape.n_kv_heads, [&](size_t i, size_t thread) {
    const size_t kv_head = i / n_parts;
    size_t part = i % n_parts;
    const Run* run = runs.runs.data();
    for (; part >= run->n_parts; ++run) part -= run->n_parts;
    const size_t begin = run->seen.begin + part * run->part_columns;
    const size_t end = std::min<size_t>(begin + run->part_columns, run->seen.end);
    const ColumnRange columns{static_cast<uint32_t>(begin), static_cast<uint32_t>(end)};
    float* results = partials.data() + run->first_float + part * (run->end - run->begin) * row_floats;
    kernels.attend_partial(rows_of(task, run->begin, run->end), kv_head, kv_head + 1, columns, results,
                           scratch.of(thread).kernel);
  });
  for (const Run& run : runs.all()) {
    kernels.merge_partials(shape, partials.data() + run.first_float, run.n_parts, run.end - run.begin,
                           out + run.begin * shape.n_heads * shape.head_dim);
  }
}

}  // namespace

void attention(const Kernels& kernels, const AttentionTask& task, float* out, Team team,
               AttentionScratch& scratch, bool last_row_alone) {
  if (task.n_rows == 0) return;
  if (last_row_alone && task.n_rows > kFewRows) {
    const size_t last = task.n_rows - 1;
    attend_by_rows(kernels, rows_of(task, 0, last), out, team, scratch);
    out += last * task.shape.n_heads * task.shape.head_dim;
    attention(kernels, rows_of(task, last, task.n_rows), out, team, scratch, true);
    return;
  }
  ColumnRange seen = task.ranges[0];
  for (size_t row = 1; row < task.n_rows; ++row) seen = hull(seen, task.ranges[row]);
  if (task.n_rows <= kFewRows && (size(seen) > kMinPartColumns || last_row_alone)) {
    attend_by_columns(kernels, task, cut_into_runs(task, last_row_alone), out, team, scratch);
  } else {
    attend_by_rows(kernels, task, out, team, scratch);
  }
}

void pack_columns(const Kernels& kernels, AttentionTask& task, Buffer<std::byte>& room, Team team) {
  const size_t tile_bytes = kernels.packed_tile_bytes(task);
  if (tile_bytes == 0) return;
  const size_t n_tiles = (task.list.n + kPackedColumns - 1) / kPackedColumns;
  const size_t n = task.shape.n_kv_heads * n_tiles;
  room.ensure(n * tile_bytes);
  team.for_each(n, [&](size_t i, size_t) {
    kernels.pack_tile(task, i / n_tiles, i % n_tiles, room.data() + i * tile_bytes);
  });
  task.packed = room.data();
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
