// The Aux Cache of one layer (after arXiv 2407.14057, section 3.3): hidden states of tokens that were dropped
// there and have no column at the next layer. A later step that wants such a token takes its state from here
// and goes on from there. The state is the one that entered the layer, not the one that leaves it as in the
// paper: a dropped token's attention and feed-forward are not computed before they are wanted.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/buffer.h"

namespace lazyfill {

class AuxCache {
 public:
  // Reserves address space for `capacity` states of d_model floats.
  AuxCache(size_t d_model, size_t capacity);

  void put(int32_t position, const float* hidden);
  // Copies the state out. It stays reserved until commit(), so that a step that fails can be undone.
  void take(int32_t position, float* hidden);
  bool has(int32_t position) const { return slot_of(position) >= 0; }
  size_t size() const { return n_states_; }

  // The end of a step: what was taken is freed, or, undone, what was put and taken since the last commit is
  // as if it had not been.
  void commit();
  void rollback();

  // Forgets every state at or behind a position. Not within a step.
  void truncate(int32_t end_position);

  size_t bytes() const { return n_states_ * d_model_ * sizeof(float); }

 private:
  static constexpr int32_t kNone = -1;
  struct Taken {
    int32_t position;
    int32_t slot;
  };

  int32_t slot_of(int32_t position) const {
    const auto i = static_cast<size_t>(position);
    return i < slot_of_.size() ? slot_of_[i] : kNone;
  }
  void free_slot(int32_t slot) { free_slots_.push_back(slot); }

  size_t d_model_;
  size_t n_states_ = 0;
  int32_t n_slots_ = 0;           // slots ever used
  Buffer<float> states_;          // [capacity, d_model]
  std::vector<int32_t> slot_of_;  // by position
  std::vector<int32_t> free_slots_;
  std::vector<int32_t> put_;  // positions put since the last commit
  std::vector<Taken> taken_;  // states taken since the last commit
};

}  // namespace lazyfill
