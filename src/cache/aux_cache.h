// The Aux Cache of one layer (after arXiv 2407.14057, section 3.3): hidden states of tokens that were dropped
// there and have no column at the next layer. A later step that wants such a token takes its state from here
// and goes on from there. The state is the one that entered the layer, not the one that leaves it as in the
// paper: a dropped token's attention and feed-forward are not computed before they are wanted.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/buffer.h"
#include "cache/token_ring.h"

namespace lazyfill {

class AuxCache {
 public:
  // Reserves address space for ring.n_places() states of d_model floats.
  AuxCache(size_t d_model, TokenRing ring);

  void put(TokenIndex token, const float* hidden);
  // Copies the state out. It stays reserved until clear_marks(), so that this can be undone.
  void take(TokenIndex token, float* hidden);
  bool has(TokenIndex token) const { return entry_of(token).token == token; }
  size_t size() const { return n_states_; }
  // [d_model] of a token that is here.
  const float* state_of(TokenIndex token) const {
    return &states_[static_cast<size_t>(entry_of(token).slot) * d_model_];
  }

  // Remembers what is there, for undo(mark): what was put and taken since is as if it had not been. Marks
  // count until forget() or clear_marks(), which frees what was taken.
  size_t mark() const { return log_.size(); }
  void undo(size_t mark);
  void clear_marks();
  // Of the tokens from first_new on, which were put since the mark, those of first_new + kept[i] (ascending)
  // become those of first_new + i, and the others leave.
  void keep_new(size_t mark, TokenIndex first_new, std::span<const size_t> kept);

  // Forgets the states of the tokens [begin, end).
  void forget(TokenIndex begin, TokenIndex end);

  size_t bytes() const { return n_states_ * d_model_ * sizeof(float); }

 private:
  static constexpr TokenIndex kNone = -1;
  struct Entry {
    TokenIndex token = kNone;
    int32_t slot = 0;
  };

  const Entry& entry_of(TokenIndex token) const { return entries_[ring_.place_of(token)]; }
  void set(TokenIndex token, int32_t slot);
  int32_t remove(TokenIndex token);

  size_t d_model_;
  TokenRing ring_;
  size_t n_states_ = 0;
  int32_t n_slots_ = 0;         // slots ever used
  Buffer<float> states_;        // [places, d_model]
  std::vector<Entry> entries_;  // [places]
  std::vector<int32_t> free_slots_;
  struct Change {
    Entry entry;
    bool was_put;  // else taken
  };
  std::vector<Change> log_;  // since the marks were cleared
};

}  // namespace lazyfill
