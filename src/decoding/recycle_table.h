// For every token those that the model found likeliest when it saw the token last (Token Recycling, Luo et
// al. 2024, arXiv 2408.08696, section 3), and how often that was right.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/buffer.h"

namespace lazyfill {

class RecycleTable {
 public:
  static constexpr size_t kLikely = 8;

  // Rows that nobody writes take no memory.
  explicit RecycleTable(size_t n_tokens) : rows_(n_tokens * kLikely), right_(n_tokens) {}

  // What is likely behind a token, likeliest first.
  struct Row {
    std::array<int32_t, kLikely> tokens;
    size_t n = 0;
  };
  Row behind(int32_t token) const;
  void set(int32_t token, std::span<const int32_t> likeliest);
  // A text has `next` behind the token: it becomes the likeliest.
  void put_first(int32_t token, int32_t next);

  // That the model takes the token's likeliest but `rank`.
  float chance(int32_t token, size_t rank) const;
  // It took this one.
  void chose(int32_t token, int32_t next);

 private:
  static constexpr size_t kClasses = 4;
  using Chances = std::array<float, kLikely>;

  Buffer<int32_t> rows_;   // [n_tokens, kLikely] ids plus 1, the likeliest first; 0: none
  Buffer<uint8_t> right_;  // [n_tokens] below kClasses: how often the first was right of late
  std::array<Chances, kClasses> chances_ = {{{0.12F, 0.07F, 0.05F, 0.04F, 0.03F, 0.02F, 0.02F, 0.02F},
                                             {0.25F, 0.11F, 0.07F, 0.05F, 0.04F, 0.03F, 0.02F, 0.02F},
                                             {0.45F, 0.12F, 0.07F, 0.04F, 0.03F, 0.02F, 0.02F, 0.02F},
                                             {0.75F, 0.07F, 0.03F, 0.02F, 0.01F, 0.01F, 0.01F, 0.01F}}};
};

}  // namespace lazyfill
