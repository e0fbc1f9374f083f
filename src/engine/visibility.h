// Who sees what: the columns that the rows of one sequence add and see at a layer.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/buffer.h"
#include "cache/layer_columns.h"
#include "engine/row_set.h"
#include "model/layer.h"

namespace lazyfill {

// How drafts for the same places of a text branch: by new token of the step the one that it follows, -1 for
// what the sequence held before. A draft's row sees the context and its ancestors.
using Parents = std::span<const int32_t>;

// Fields of View.
struct ViewOptions {
  bool is_top = false;
  size_t first_output = 0;
  float attention_mass = 1;
  AttentionPairs* pairs = nullptr;
};

class Visibility {
 public:
  // The step's new tokens begin at `first_new`; without parents each follows the one before it.
  Visibility(const ModelConfig& config, TokenIndex first_new, Parents parents)
      : config_(config), first_new_(first_new), parents_(parents) {}

  // At a layer: gives the rows' tokens columns, and lists those of the candidates (ascending, rows among
  // them). A prompt's own columns need not be rounded for its own rows (`exact`): the last row's attention
  // chooses among tokens that are nearly equal, and the rounding to fp16 was the largest error of all.
  void enter(LayerColumns& columns, std::span<const TokenIndex> rows, std::span<const TokenIndex> candidates,
             bool exact);
  // What each of the rows sees of them (of the candidates that were entered with): up to itself, and within
  // the layer's window (0: none).
  void find_ranges(const RowSet& rows, size_t sequence, std::span<const TokenIndex> candidates,
                   size_t window);

  // To the step's lists, by row: of the body's rows, or of the top ones.
  void add_columns(RowRange rows, size_t first, std::vector<NewColumns>& all) const;
  // `first`: how many rows of the sequence come before.
  void add_views(RowRange rows, size_t first, const ViewOptions& options, std::vector<View>& all);

  ColumnsView seen() const;
  const ColumnList& list() const { return list_; }
  // By row of the sequence.
  std::span<const ColumnRange> ranges() const { return ranges_; }

 private:
  bool is_exact() const { return exact_rows_ > 0; }
  void find_branches(const RowSet& rows, size_t sequence, std::span<const TokenIndex> candidates,
                     size_t window);

  const ModelConfig& config_;
  TokenIndex first_new_;
  Parents parents_;
  LayerColumns* columns_ = nullptr;
  ColumnList new_;  // slots of the rows' columns
  std::vector<int32_t> new_slots_;
  ColumnList list_;
  std::vector<int32_t> slots_;       // [candidates]
  std::vector<ColumnRange> ranges_;  // [rows of the sequence]
  // Rows of drafts, which have a list each.
  std::vector<std::vector<int32_t>> branches_;  // [rows of the sequence] slots; empty: it has the common list
  std::vector<ColumnRange> branch_ranges_;      // [rows of the sequence]
  std::vector<Piece> pieces_;                   // [views]
  size_t exact_rows_ = 0;                       // 0: columns are seen as they are stored
  Buffer<float> exact_;                         // keys and values: [2, n_kv_heads, exact_rows, head_dim]
  Buffer<std::byte> packed_;  // what the layer makes of the columns, for as long as it is at work
};

}  // namespace lazyfill
