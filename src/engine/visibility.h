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

// What a stream's rows see: the newest tokens, and the first ones, the sinks, from their place within what is
// held. Rows that stand apart have forgotten what lies between; the others see everything, and have one place
// and position.
struct StreamShape {
  size_t n_sinks = 0;
  size_t window = 0;  // newest tokens, the row's own among them; 0: no stream

  bool is_apart(TokenIndex token) const {
    return window > 0 && token >= static_cast<TokenIndex>(n_sinks + window);
  }
  int32_t place_apart() const { return static_cast<int32_t>(n_sinks + window) - 1; }
};

// Fields of View.
struct ViewOptions {
  bool is_top = false;
  size_t first_output = 0;
  float attention_mass = 1;
  AttentionPairs* pairs = nullptr;
  const float* sink_q = nullptr;  // [rows of the sequence from n_plain() on, q_dim] turned for the sinks
};

class Visibility {
 public:
  // The step's new tokens begin at `first_new`; without parents each follows the one before it.
  Visibility(const ModelConfig& config, TokenIndex first_new, Parents parents, StreamShape stream = {})
      : config_(config), first_new_(first_new), parents_(parents), stream_(stream) {}

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
  // Rows of the sequence from here on stand apart and see the sinks besides, where there are any.
  size_t n_plain() const { return n_plain_; }
  const ColumnRange& sinks(size_t row) const { return sink_ranges_[row - n_plain_]; }

 private:
  bool is_exact() const { return exact_rows_ > 0; }
  void find_branches(const RowSet& rows, size_t sequence, std::span<const TokenIndex> candidates,
                     size_t window);
  void add_view(RowRange rows, size_t first, const ViewOptions& options, std::vector<View>& all);

  const ModelConfig& config_;
  TokenIndex first_new_;
  Parents parents_;
  StreamShape stream_;
  LayerColumns* columns_ = nullptr;
  ColumnList new_;  // slots of the rows' columns
  std::vector<int32_t> new_slots_;
  ColumnList list_;
  std::vector<int32_t> slots_;       // [candidates]
  std::vector<ColumnRange> ranges_;  // [rows of the sequence]
  size_t n_plain_ = 0;
  std::vector<ColumnRange> sink_ranges_;  // [rows of the sequence from n_plain_ on]
  // Rows of drafts, which have a list each.
  std::vector<std::vector<int32_t>> branches_;  // [rows of the sequence] slots; empty: it has the common list
  std::vector<ColumnRange> branch_ranges_;      // [rows of the sequence]
  std::vector<Piece> pieces_;                   // of the views
  size_t exact_rows_ = 0;                       // 0: columns are seen as they are stored
  Buffer<float> exact_;                         // keys and values: [2, n_kv_heads, exact_rows, head_dim]
  Buffer<std::byte> packed_;  // what the layer makes of the columns, for as long as it is at work
};

}  // namespace lazyfill
