#include "cache/aux_cache.h"

#include <algorithm>
#include <cassert>

namespace lazyfill {

AuxCache::AuxCache(size_t d_model, TokenRing ring)
    : d_model_(d_model), ring_(ring), states_(d_model * ring.n_places()), entries_(ring.n_places()) {}

void AuxCache::set(TokenIndex token, int32_t slot) {
  entries_[ring_.place_of(token)] = {token, slot};
  ++n_states_;
}

// Returns the slot of the token, which then has none.
int32_t AuxCache::remove(TokenIndex token) {
  Entry& entry = entries_[ring_.place_of(token)];
  assert(entry.token == token);
  entry.token = kNone;
  --n_states_;
  return entry.slot;
}

void AuxCache::put(TokenIndex token, const float* hidden) {
  assert(!has(token));
  // Memory first: what throws here has changed nothing that counts, and undoing takes none.
  if (free_slots_.capacity() < static_cast<size_t>(n_slots_) + 1)
    free_slots_.reserve(2 * static_cast<size_t>(n_slots_) + 16);
  const int32_t slot = free_slots_.empty() ? n_slots_ : free_slots_.back();
  log_.push_back({{token, slot}, true});
  if (free_slots_.empty()) {
    ++n_slots_;
  } else {
    free_slots_.pop_back();
  }
  set(token, slot);
  std::copy_n(hidden, d_model_, &states_[static_cast<size_t>(slot) * d_model_]);
}

void AuxCache::take(TokenIndex token, float* hidden) {
  assert(has(token));
  const Entry entry = entry_of(token);
  log_.push_back({entry, false});
  std::copy_n(&states_[static_cast<size_t>(entry.slot) * d_model_], d_model_, hidden);
  remove(token);
}

void AuxCache::undo(size_t mark) {
  for (; log_.size() > mark; log_.pop_back()) {
    const auto& [entry, was_put] = log_.back();
    if (was_put) {
      free_slots_.push_back(remove(entry.token));
    } else {
      set(entry.token, entry.slot);
    }
  }
}

void AuxCache::clear_marks() {
  for (const auto& [entry, was_put] : log_) {
    if (!was_put) free_slots_.push_back(entry.slot);
  }
  log_.clear();
}

void AuxCache::keep_new(size_t mark, TokenIndex first_new, std::span<const size_t> kept) {
  std::vector<Change> changes(log_.begin() + static_cast<std::ptrdiff_t>(mark), log_.end());
  log_.resize(mark);
  const auto is_new = [&](const Change& change) { return change.was_put && change.entry.token >= first_new; };
  for (const Change& change : changes) {
    if (is_new(change)) remove(change.entry.token);
  }
  for (Change change : changes) {
    if (is_new(change)) {
      const auto offset = static_cast<size_t>(change.entry.token - first_new);
      const auto at = std::lower_bound(kept.begin(), kept.end(), offset);
      if (at == kept.end() || *at != offset) {
        free_slots_.push_back(change.entry.slot);
        continue;
      }
      change.entry.token = first_new + static_cast<TokenIndex>(at - kept.begin());
      set(change.entry.token, change.entry.slot);
    }
    log_.push_back(change);
  }
}

void AuxCache::forget(TokenIndex begin, TokenIndex end) {
  clear_marks();
  for (TokenIndex token = begin; token < end; ++token) {
    if (has(token)) free_slots_.push_back(remove(token));
  }
}

}  // namespace lazyfill
