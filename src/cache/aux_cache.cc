#include "cache/aux_cache.h"

#include <algorithm>
#include <cassert>

namespace lazyfill {

AuxCache::AuxCache(size_t d_model, size_t capacity) : d_model_(d_model), states_(d_model * capacity) {}

void AuxCache::put(int32_t position, const float* hidden) {
  assert(!has(position));
  int32_t slot = n_slots_;
  if (free_slots_.empty()) {
    ++n_slots_;
  } else {
    slot = free_slots_.back();
    free_slots_.pop_back();
  }
  if (static_cast<size_t>(position) >= slot_of_.size())
    slot_of_.resize(static_cast<size_t>(position) + 1, kNone);
  slot_of_[static_cast<size_t>(position)] = slot;
  std::copy_n(hidden, d_model_, &states_[static_cast<size_t>(slot) * d_model_]);
  put_.push_back(position);
  ++n_states_;
}

void AuxCache::take(int32_t position, float* hidden) {
  const int32_t slot = slot_of(position);
  assert(slot >= 0);
  std::copy_n(&states_[static_cast<size_t>(slot) * d_model_], d_model_, hidden);
  slot_of_[static_cast<size_t>(position)] = kNone;
  taken_.push_back({position, slot});
  --n_states_;
}

void AuxCache::commit() {
  for (const Taken& taken : taken_) free_slot(taken.slot);
  taken_.clear();
  put_.clear();
}

void AuxCache::rollback() {
  for (int32_t position : put_) {
    const int32_t slot = slot_of(position);
    if (slot < 0) continue;
    free_slot(slot);
    slot_of_[static_cast<size_t>(position)] = kNone;
    --n_states_;
  }
  for (const Taken& taken : taken_) {
    slot_of_[static_cast<size_t>(taken.position)] = taken.slot;
    ++n_states_;
  }
  taken_.clear();
  put_.clear();
}

void AuxCache::truncate(int32_t end_position) {
  for (size_t position = static_cast<size_t>(end_position); position < slot_of_.size(); ++position) {
    if (slot_of_[position] == kNone) continue;
    free_slot(slot_of_[position]);
    slot_of_[position] = kNone;
    --n_states_;
  }
}

}  // namespace lazyfill
