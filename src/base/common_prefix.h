// How far two lists of tokens agree.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

namespace lazyfill {

// How many tokens at the beginning are the same.
inline size_t common_prefix(std::span<const int32_t> a, std::span<const int32_t> b) {
  return static_cast<size_t>(std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin());
}

inline bool begins_with(std::span<const int32_t> tokens, std::span<const int32_t> prefix) {
  return common_prefix(tokens, prefix) == prefix.size();
}

}  // namespace lazyfill
