#include "model/blocks.h"

#include <algorithm>

#include "kernels/sparse_attention.h"

namespace lazyfill {
namespace {

// Fewer rows for each thread: they share the columns of every product instead of the rows.
constexpr size_t kMinBlockRows = 16;
constexpr size_t kMostSharedRows = 96;

struct Range {
  size_t begin;
  size_t end;
};

size_t block_rows_for(size_t n_rows, size_t n_threads, size_t max_rows) {
  // At least four blocks a thread, so that the last ones to finish do not leave the others waiting long.
  const size_t share = (n_rows + 4 * n_threads - 1) / (4 * n_threads);
  return std::clamp((share + 7) / 8 * 8, kMinBlockRows, max_rows);
}

bool is_sparse(const View& view) {
  return view.attention_mass < 1;
}

bool is_of_prompt(const Rows& rows, size_t row) {
  return rows.of_prompt != nullptr && row < rows.n_body && rows.of_prompt[row] != 0;
}

// Neighbouring rows to compute, those of prompts and others apart. Rows of 8 bits and those of 16 apart where
// `apart`.
std::vector<Range> ranges_of(const Rows& rows, bool outputs_only, bool apart) {
  std::vector<Range> ranges;
  const auto add = [&](size_t begin, size_t end) {
    for (size_t row = begin; row < end; ++row) {
      const bool joins = !ranges.empty() && ranges.back().end == row && !(apart && row == rows.n_body) &&
                         is_of_prompt(rows, row) == is_of_prompt(rows, row - 1);
      if (joins) {
        ranges.back().end = row + 1;
      } else {
        ranges.push_back({row, row + 1});
      }
    }
  };
  if (!outputs_only) {
    add(0, rows.n_body);
    add(rows.n_body, rows.n_rows);
  } else {
    for (const View& view : rows.views) add(std::max(view.first_output, view.row_begin), view.row_end);
  }
  return ranges;
}

// The view that a cut before row `at` would go through; null: it lies between two.
const View* view_around(std::span<const View> views, size_t at) {
  const auto after = std::upper_bound(views.begin(), views.end(), at,
                                      [](size_t row, const View& view) { return row < view.row_end; });
  return after != views.end() && after->row_begin < at ? &*after : nullptr;
}

// `end`, moved to where a block that starts at `begin` may end: rows that share columns or a choice of
// columns stay together.
size_t legal_end(std::span<const View> views, size_t begin, size_t end) {
  const View* view = view_around(views, end);
  if (view == nullptr) return end;
  if (view->form != RowForm::kMany) return view->row_begin > begin ? view->row_begin : view->row_end;
  if (!is_sparse(*view)) return end;
  const size_t before = view->row_begin + (end - view->row_begin) / kSparseRows * kSparseRows;
  if (before > begin) return before;
  return end_of_choice(*view, std::max(view->row_begin, begin));
}

// Into blocks of so many rows. Where `n_threads` is not 0, equally many for each thread, and the rows that
// are left, which come first, in one more block for each.
std::vector<size_t> wanted_ends(Range range, size_t block_rows, size_t n_threads) {
  std::vector<size_t> ends;
  const size_t n_left = n_threads > 0 ? (range.end - range.begin) % (block_rows * n_threads) : 0;
  for (size_t i = 1; i <= n_threads && n_left > 0; ++i) {
    const size_t part_end = range.begin + n_left * i / n_threads;
    if (part_end > (ends.empty() ? range.begin : ends.back())) ends.push_back(part_end);
  }
  for (size_t at = range.begin + n_left; at < range.end; at += block_rows)
    ends.push_back(std::min(at + block_rows, range.end));
  return ends;
}

void add_block(const Rows& rows, size_t begin, size_t end, std::vector<Block>& blocks) {
  blocks.push_back({begin, end, std::clamp(rows.n_body, begin, end) - begin, is_of_prompt(rows, begin)});
}

}  // namespace

size_t end_of_choice(const View& view, size_t row) {
  const size_t n_before = (row - view.row_begin) / kSparseRows;
  return std::min(view.row_begin + (n_before + 1) * kSparseRows, view.row_end);
}

BlockPlan plan_blocks(const Rows& rows, bool outputs_only, size_t max_rows, size_t n_threads) {
  BlockPlan plan;
  size_t n_rows = 0;
  for (const Range& range : ranges_of(rows, outputs_only, false)) n_rows += range.end - range.begin;
  if (n_rows < 2 * kMinBlockRows * n_threads && n_rows <= kMostSharedRows) {
    // The weights had better be read once for all.
    for (const Range& range : ranges_of(rows, outputs_only, false))
      add_block(rows, range.begin, range.end, plan.blocks);
    return plan;
  }
  plan.shared = n_threads > 1 && n_rows >= 2 * kMinBlockRows * n_threads;
  const bool any_sparse = std::any_of(rows.views.begin(), rows.views.end(), is_sparse);
  const bool by_threads = plan.shared && !any_sparse;
  const size_t block_rows = by_threads ? block_rows_for(n_rows, n_threads, max_rows) : max_rows;
  for (const Range& range : ranges_of(rows, outputs_only, true)) {
    size_t begin = range.begin;
    for (size_t wanted : wanted_ends(range, block_rows, by_threads ? n_threads : 0)) {
      if (wanted <= begin) continue;
      const size_t end = std::min(outputs_only ? legal_end(rows.views, begin, wanted) : wanted, range.end);
      if (end <= begin) continue;
      add_block(rows, begin, end, plan.blocks);
      begin = end;
    }
    if (begin < range.end) add_block(rows, begin, range.end, plan.blocks);
  }
  return plan;
}

}  // namespace lazyfill
