// Everything one sequence has computed: columns of every layer, the Aux Caches between them, and the votes of
// its steps.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "cache/aux_cache.h"
#include "cache/cache_part.h"
#include "cache/layer_columns.h"
#include "cache/token_ring.h"
#include "cache/vote_memory.h"

namespace lazyfill {

class SequenceCache {
 public:
  struct Shape {
    size_t n_layers = 0;
    size_t n_kv_heads = 0;
    size_t head_dim = 0;
    size_t d_model = 0;
    size_t capacity_tokens = 0;  // that are held at a time
    ColumnType column_type = ColumnType::kF32;
    // What positions are reckoned in, where that depends on a length: may be more than fits. 0: the capacity.
    size_t context_tokens = 0;
    size_t n_pinned = 0;  // first tokens that are never forgotten, where others are; less than the capacity
    // Streams: how many of the newest tokens one sees beside the pinned ones. 0: all that are held.
    size_t window_tokens = 0;
  };
  // Throws std::bad_alloc when the address space is too small.
  explicit SequenceCache(const Shape& shape);

  // Tokens taken in at layer 0 by the steps committed so far, those forgotten since included: the index of
  // the next one.
  size_t n_tokens() const { return n_tokens_; }
  // Those of them that are held: [0, n_pinned), as far as there are any, and from first_held() on.
  size_t n_held() const { return n_tokens_ - n_forgotten_; }
  bool has_forgotten() const { return n_forgotten_ > 0; }
  size_t first_held() const { return n_forgotten_ > 0 ? shape_.n_pinned + n_forgotten_ : 0; }
  const Shape& shape() const { return shape_; }
  size_t capacity_tokens() const { return shape_.capacity_tokens; }
  // Columns have left for good, in each layer others: tokens that are held may have none.
  void note_eviction() { was_evicted_ = true; }
  bool was_evicted() const { return was_evicted_ && n_tokens_ > 0; }
  size_t context_tokens() const {
    return shape_.context_tokens > 0 ? shape_.context_tokens : shape_.capacity_tokens;
  }
  // Ascending, with n_new further ones.
  std::vector<TokenIndex> held_tokens(size_t n_new) const;

  LayerColumns& columns(size_t layer) { return columns_[layer]; }
  const LayerColumns& columns(size_t layer) const { return columns_[layer]; }

  // States of tokens that left at `layer`; null while none ever did.
  AuxCache* find_aux(size_t layer) { return aux_[layer].get(); }
  AuxCache& aux(size_t layer);

  VoteMemory& votes(size_t layer) { return votes_[layer]; }
  const VoteMemory& votes(size_t layer) const { return votes_[layer]; }

  // What decode steps have saved for tokens to come back (pruning/revival_budget.h).
  double saved_for_revival() const { return saved_for_revival_; }
  void save_for_revival(double saved) { saved_for_revival_ = saved; }

  // A step begins, and ends with one of these: its columns and states stay, or all is as it was, or of the
  // n_new tokens only those at the offsets `kept` (ascending, the first among them) stay, side by side, and
  // nothing of the others (drafts).
  void begin_step();
  void commit_step(size_t n_new_tokens);
  void rollback_step();
  void commit_step(size_t n_new_tokens, std::span<const size_t> kept);

  // Or of what the step did only the layers up to entered_layer() stay, of n_new_tokens that all have such
  // states: it was stopped above it.
  void commit_step_up_to(size_t n_new_tokens, size_t layer);
  // Where the newest tokens end so; none since a later step.
  std::optional<size_t> cut_layer() const { return cut_layer_; }

  // Steps that stay or go together: between begin and end, undo() makes all as it was at the beginning.
  // Nothing may be forgotten meanwhile.
  void begin_call();
  bool is_in_call() const { return call_.has_value(); }
  void end_call();
  void undo_call();

  // From the next token on, keeps the state that enters `layer` of every token, whatever becomes of it there.
  // What layers up to this one made of a prompt can then be given to others.
  void keep_entered(size_t layer);
  // No layer: none is kept.
  std::optional<size_t> entered_layer() const { return entered_layer_; }
  // Tokens from here on have such a state.
  TokenIndex entered_from() const { return entered_from_; }
  void put_entered(TokenIndex token, const float* hidden);
  const float* entered_state(TokenIndex token) const;
  // The states are those that enter this layer now.
  void move_entered(size_t layer) { entered_layer_ = layer; }
  void forget_entered();

  // Copies of what tokens [begin, end) hold in layers [first_layer, end_layer); with `entered`, of the last
  // of them, which is entered_layer(), the states that entered it.
  CachePart copy_part(TokenIndex begin, TokenIndex end, size_t first_layer, size_t end_layer,
                      bool entered) const;
  // The other way, outside of steps: of the part the tokens [begin, end). Tokens that are new come behind
  // those that there are. Where it throws std::bad_alloc the cache is of no use any more.
  void take_part(const CachePart& part, TokenIndex begin, TokenIndex end);
  // Puts the states that entered entered_layer() into its Aux Cache, of tokens that have no column above it:
  // they come back there when a step wants them.
  void revive_entered();

  // Forgets every token from n_tokens on.
  void truncate(size_t n_tokens);
  // Forgets the n oldest tokens behind the pinned ones: a stream makes room. Nothing moves. Where it throws
  // std::bad_alloc nothing has changed.
  void forget_oldest(size_t n);

  uint64_t kv_bytes() const;
  uint64_t aux_bytes() const;

 private:
  Shape shape_;
  TokenRing ring_;
  size_t n_tokens_ = 0;
  size_t n_forgotten_ = 0;
  double saved_for_revival_ = 0;
  bool was_evicted_ = false;
  std::vector<LayerColumns> columns_;           // [n_layers]
  std::vector<std::unique_ptr<AuxCache>> aux_;  // [n_layers]
  std::vector<VoteMemory> votes_;               // [n_layers]

  struct Marks {
    std::vector<size_t> columns;  // [n_layers]
    std::vector<size_t> aux;      // [n_layers]
  };
  Marks marks_here() const;
  void undo_to(const Marks& marks);
  void clear_marks();

  std::optional<size_t> cut_layer_;
  std::optional<size_t> entered_layer_;
  TokenIndex entered_from_ = 0;
  Buffer<float> entered_;  // [capacity_tokens, d_model] by place

  Marks beginning_;  // before all columns; made in time, for undo_call() must not run out of memory
  Marks step_;       // where the step began
  struct Call {
    size_t n_tokens = 0;
    double saved_for_revival = 0;
    std::vector<std::vector<float>> votes;  // [n_layers]
  };
  std::optional<Call> call_;
};

}  // namespace lazyfill
