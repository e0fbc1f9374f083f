#include "cache/vote_memory.h"

#include <algorithm>
#include <utility>

namespace lazyfill {

void VoteMemory::add_to(std::span<float> votes, std::span<const int32_t> positions, float share) {
  if (positions.empty()) return;
  next_ = votes_;
  next_.resize(std::max(next_.size(), static_cast<size_t>(positions.back()) + 1), 0.0F);
  for (float& vote : next_) vote *= share;
  for (size_t i = 0; i < positions.size(); ++i) {
    float& sum = next_[static_cast<size_t>(positions[i])];
    sum += votes[i];
    votes[i] = sum;
  }
}

void VoteMemory::commit() {
  if (!next_.empty()) votes_ = std::exchange(next_, {});
}

void VoteMemory::truncate(int32_t end_position) {
  votes_.resize(std::min(votes_.size(), static_cast<size_t>(end_position)));
}

}  // namespace lazyfill
