// Checked arithmetic for sizes that come from a file, the network or the command line. Nothing read from
// outside may meet a raw `+` or `*`.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

namespace lazyfill {

inline std::optional<uint64_t> checked_add(uint64_t a, uint64_t b) {
  uint64_t sum = 0;
  if (__builtin_add_overflow(a, b, &sum)) return std::nullopt;
  return sum;
}

inline std::optional<uint64_t> checked_mul(uint64_t a, uint64_t b) {
  uint64_t product = 0;
  if (__builtin_mul_overflow(a, b, &product)) return std::nullopt;
  return product;
}

// Smallest multiple of `alignment` (not zero) that is at least `value`.
inline std::optional<uint64_t> checked_align_up(uint64_t value, uint64_t alignment) {
  const uint64_t remainder = value % alignment;
  return remainder == 0 ? std::optional<uint64_t>(value) : checked_add(value, alignment - remainder);
}

}  // namespace lazyfill
