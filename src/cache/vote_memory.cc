#include "cache/vote_memory.h"

#include <algorithm>
#include <utility>

namespace lazyfill {

void VoteMemory::add_to(std::span<float> votes, std::span<const TokenIndex> tokens, float share) {
  if (tokens.empty()) return;
  size_t n_places = votes_.size();
  for (TokenIndex token : tokens) n_places = std::max(n_places, ring_.place_of(token) + 1);
  next_ = votes_;
  next_.resize(n_places, 0.0F);
  for (float& vote : next_) vote *= share;
  for (size_t i = 0; i < tokens.size(); ++i) {
    float& sum = next_[ring_.place_of(tokens[i])];
    sum += votes[i];
    votes[i] = sum;
  }
}

void VoteMemory::commit() {
  if (!next_.empty()) votes_ = std::exchange(next_, {});
}

void VoteMemory::keep_new(TokenIndex first_new, size_t n_new, std::span<const size_t> kept) {
  if (next_.empty()) return;
  const auto vote_of = [&](size_t offset) -> float* {
    const size_t place = ring_.place_of(first_new + static_cast<TokenIndex>(offset));
    return place < next_.size() ? &next_[place] : nullptr;
  };
  for (size_t i = 0; i < n_new; ++i) {
    if (vote_of(i) == nullptr) continue;
    const float* from = i < kept.size() ? vote_of(kept[i]) : nullptr;
    *vote_of(i) = from != nullptr ? *from : 0.0F;
  }
}

std::vector<float> VoteMemory::of(TokenIndex begin, TokenIndex end) const {
  if (votes_.empty()) return {};
  std::vector<float> votes(static_cast<size_t>(end - begin));
  for (TokenIndex token = begin; token < end; ++token) {
    const size_t place = ring_.place_of(token);
    if (place < votes_.size()) votes[static_cast<size_t>(token - begin)] = votes_[place];
  }
  return votes;
}

void VoteMemory::set(TokenIndex begin, std::span<const float> votes) {
  for (size_t i = 0; i < votes.size(); ++i) {
    const size_t place = ring_.place_of(begin + static_cast<TokenIndex>(i));
    if (place >= votes_.size()) votes_.resize(place + 1, 0.0F);
    votes_[place] = votes[i];
  }
}

void VoteMemory::forget(TokenIndex begin, TokenIndex end) {
  for (TokenIndex token = begin; token < end; ++token) {
    const size_t place = ring_.place_of(token);
    if (place < votes_.size()) votes_[place] = 0;
  }
}

}  // namespace lazyfill
