// How tables are indexed by tokens. A token's index is its number within the sequence, from 0 on: it never
// changes and no two tokens share one. What the rotary embedding sees is its position, which may be another
// (drafts for the same place of the text have one position and several indices).
#pragma once

#include <cstddef>
#include <cstdint>

namespace lazyfill {

using TokenIndex = int32_t;

// Places for the tokens that a sequence holds at a time: the first n_pinned, which stay, and behind them the
// newest, in a ring. Where nothing is ever forgotten the place is the index.
class TokenRing {
 public:
  explicit TokenRing(size_t n_places, size_t n_pinned = 0) : n_places_(n_places), n_pinned_(n_pinned) {}

  size_t n_places() const { return n_places_; }
  size_t n_pinned() const { return n_pinned_; }
  size_t place_of(TokenIndex token) const {
    const auto index = static_cast<size_t>(token);
    return index < n_places_ ? index : n_pinned_ + (index - n_pinned_) % (n_places_ - n_pinned_);
  }

 private:
  size_t n_places_;
  size_t n_pinned_;  // less than n_places
};

}  // namespace lazyfill
