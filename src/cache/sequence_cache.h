// Everything one sequence has computed: columns of every layer, the Aux Caches between them, and the votes of
// its steps.
#pragma once

#include <memory>
#include <vector>

#include "cache/aux_cache.h"
#include "cache/layer_columns.h"
#include "cache/vote_memory.h"

namespace lazyfill {

class SequenceCache {
 public:
  struct Shape {
    size_t n_layers = 0;
    size_t n_kv_heads = 0;
    size_t head_dim = 0;
    size_t d_model = 0;
    size_t capacity_tokens = 0;
    ColumnType column_type = ColumnType::kF32;
  };
  // Throws std::bad_alloc when the address space is too small.
  explicit SequenceCache(const Shape& shape);

  // Positions taken in at layer 0 by the steps committed so far.
  size_t n_tokens() const { return n_tokens_; }
  size_t capacity_tokens() const { return shape_.capacity_tokens; }
  LayerColumns& columns(size_t layer) { return columns_[layer]; }
  const LayerColumns& columns(size_t layer) const { return columns_[layer]; }

  // States of tokens that left at `layer`; null while none ever did.
  AuxCache* find_aux(size_t layer) { return aux_[layer].get(); }
  AuxCache& aux(size_t layer);

  VoteMemory& votes(size_t layer) { return votes_[layer]; }

  // What decode steps have saved for tokens to come back (pruning/revival_budget.h).
  double saved_for_revival() const { return saved_for_revival_; }
  void save_for_revival(double saved) { saved_for_revival_ = saved; }

  // A step begins, and ends with one of the two: its columns and states stay, or all is as it was.
  void begin_step();
  void commit_step(size_t n_new_tokens);
  void rollback_step();

  // Forgets every token from position n_tokens on.
  void truncate(size_t n_tokens);

  uint64_t kv_bytes() const;
  uint64_t aux_bytes() const;

 private:
  Shape shape_;
  size_t n_tokens_ = 0;
  double saved_for_revival_ = 0;
  std::vector<LayerColumns> columns_;           // [n_layers]
  std::vector<std::unique_ptr<AuxCache>> aux_;  // [n_layers]
  std::vector<VoteMemory> votes_;               // [n_layers]
  std::vector<size_t> n_columns_before_;        // [n_layers] when the step began
};

}  // namespace lazyfill
