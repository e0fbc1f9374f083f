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

// Up to this many rows each reads the columns for itself.
constexpr size_t kAloneRows = 4;
// Up to this many rows the columns are cut instead of the rows: there is no row tile to give each thread.
constexpr size_t kFewRows = 16;
// Columns of a part: the longer, the better memory is read ahead; the shorter, the less the threads wait for
// the last one. kParts over all heads leave even sixteen threads two parts each.
constexpr size_t kMinPartColumns = 256;
constexpr size_t kMaxPartColumns = 1024;
constexpr size_t kParts = 32;
constexpr size_t kTileRows = 128;

using Run = AttentionScratch::Run;

size_t size(const ColumnRange& range) {
  return range.end - range.begin;
}

// Of ranges that are not empty: what holds both.
ColumnRange hull(const ColumnRange& a, const ColumnRange& b) {
  if (size(a) == 0) return b;
  if (size(b) == 0) return a;
  return {std::min(a.begin, b.begin), std::max(a.end, b.end)};
}

// The index by which a team knows the calling thread.
size_t calling_thread(const Team& team) {
  size_t index = 0;
  team.for_each(1, [&](size_t, size_t thread) { index = thread; });
  return index;
}

// Rows that share tiles of columns, straight to their results.
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

// Groups whose columns are cut into parts: partial softmaxes of all of them, dealt out together, then merged.
class PartedAttention {
 public:
  PartedAttention(const Kernels& kernels, Team team, AttentionScratch& scratch)
      : k_(kernels), team_(team), scratch_(scratch), mine_(scratch.of(calling_thread(team))) {
    mine_.runs.clear();
    mine_.merges.clear();
  }

  void add(const AttentionGroup& group) {
    const AttentionTask& first = group.pieces[0];
    if (group.form == RowForm::kAlone) {
      for (size_t row = 0; row < first.n_rows; ++row) add_rows(group, row, row + 1);
    } else if (group.form == RowForm::kMany) {
      for (size_t row = 0; row < first.n_rows; row += kTileRows)
        add_rows(group, row, std::min(row + kTileRows, first.n_rows));
    } else if (group.pieces.size() > 1) {
      add_rows(group, 0, first.n_rows);
    } else {
      add_neighbours(group);
    }
  }

  void compute() {
    if (mine_.runs.empty()) return;
    shape_ = mine_.runs[0].piece->shape;
    mine_.shared.ensure(n_floats_);
    float* partials = mine_.shared.data();
    team_.for_each(n_parts_ * shape_.n_kv_heads, [&](size_t i, size_t thread) {
      const Run* run = mine_.runs.data();
      for (; i >= run->n_parts * shape_.n_kv_heads; ++run) i -= run->n_parts * shape_.n_kv_heads;
      const size_t kv_head = i / run->n_parts;
      const size_t part = i % run->n_parts;
      const size_t begin = run->seen.begin + part * run->part_columns;
      const size_t end = std::min<size_t>(begin + run->part_columns, run->seen.end);
      const ColumnRange columns{static_cast<uint32_t>(begin), static_cast<uint32_t>(end)};
      float* results = partials + run->first_float + part * row_floats(shape_) * (run->end - run->begin);
      k_.attend_partial(rows_of(*run->piece, run->begin, run->end), kv_head, kv_head + 1, columns, results,
                        scratch_.of(thread).kernel);
    });
    for (const AttentionScratch::Merge& merge : mine_.merges)
      k_.merge_partials(shape_, partials + merge.first_float, merge.n_parts, merge.n_rows, merge.out);
  }

 private:
  static size_t row_floats(const AttentionShape& shape) { return shape.n_heads * partial_stride(shape); }

  // Rows that came back to a layer with a window may lie far apart: read together, all that lies between them
  // would be read and masked. Rows go together as long as that is no more than twice what one of them sees.
  void add_neighbours(const AttentionGroup& group) {
    const AttentionTask& task = group.pieces[0];
    size_t begin = 0;
    ColumnRange seen{};
    size_t widest = 0;  // range of a row of the run
    for (size_t row = 0; row < task.n_rows; ++row) {
      const ColumnRange& range = task.ranges[row];
      const ColumnRange both = hull(seen, range);
      widest = std::max(widest, size(range));
      if (size(both) <= 2 * widest) {
        seen = both;
        continue;
      }
      add_rows(group, begin, row);
      begin = row;
      seen = range;
      widest = size(range);
    }
    add_rows(group, begin, task.n_rows);
  }

  // A run for each piece over the rows [begin, end).
  void add_rows(const AttentionGroup& group, size_t begin, size_t end) {
    const AttentionShape& shape = group.pieces[0].shape;
    AttentionScratch::Merge merge{n_floats_, 0, end - begin,
                                  group.out + begin * shape.n_heads * shape.head_dim};
    for (const AttentionTask& piece : group.pieces) {
      Run run{&piece, begin, end, {}, 0, 0, n_floats_};
      for (size_t row = begin; row < end; ++row) run.seen = hull(run.seen, piece.ranges[row]);
      // Tiles of columns lie on a grid, and so do the parts of rows that share them.
      if (!piece.alone) run.seen.begin -= run.seen.begin % kPackedColumns;
      const size_t n_columns = size(run.seen);
      run.part_columns = std::clamp((n_columns * shape.n_kv_heads / kParts + 63) / 64 * 64, kMinPartColumns,
                                    kMaxPartColumns);
      // A block of many rows begins and ends anywhere, so what its rows see together must not cut anything.
      if (group.form == RowForm::kMany) run.part_columns = std::max<size_t>(n_columns, 1);
      run.n_parts = (n_columns + run.part_columns - 1) / run.part_columns;
      n_floats_ += run.n_parts * (end - begin) * row_floats(shape);
      n_parts_ += run.n_parts;
      merge.n_parts += run.n_parts;
      if (run.n_parts > 0) mine_.runs.push_back(run);
    }
    mine_.merges.push_back(merge);
  }

  const Kernels& k_;
  Team team_;
  AttentionScratch& scratch_;
  AttentionScratch::PerThread& mine_;
  AttentionShape shape_;
  size_t n_floats_ = 0;
  size_t n_parts_ = 0;
};

}  // namespace

RowForm form_of_rows(size_t n_rows) {
  if (n_rows <= kAloneRows) return RowForm::kAlone;
  return n_rows <= kFewRows ? RowForm::kFew : RowForm::kMany;
}

void attention(const Kernels& kernels, std::span<const AttentionGroup> groups, Team team,
               AttentionScratch& scratch) {
  PartedAttention parted(kernels, team, scratch);
  for (const AttentionGroup& group : groups) {
    if (group.pieces[0].n_rows == 0) continue;
    if (group.form == RowForm::kMany && group.pieces.size() == 1) {
      attend_by_rows(kernels, group.pieces[0], group.out, team, scratch);
    } else {
      parted.add(group);
    }
  }
  parted.compute();
}

void attention(const Kernels& kernels, const AttentionTask& task, RowForm form, float* out, Team team,
               AttentionScratch& scratch) {
  AttentionTask piece = task;
  piece.alone = form == RowForm::kAlone;
  const AttentionGroup group{{&piece, 1}, form, out};
  attention(kernels, {&group, 1}, team, scratch);
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
