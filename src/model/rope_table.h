// Cosines and sines of the rotary embedding, computed once a position.
#pragma once

#include <span>
#include <vector>

#include "model/config.h"

namespace lazyfill {

class RopeTable {
 public:
  explicit RopeTable(const RopeConfig& rope);

  // The angles of `positions` to out: [positions.size(), rope_dim / 2, 2] of (cos, sin). `context_tokens` is
  // what the sequence may grow to: LongRoPE has two sets of frequencies, and the columns of a sequence must
  // all have been turned by the same.
  void gather(std::span<const int32_t> positions, size_t context_tokens, float* out);

 private:
  struct Angles {
    std::vector<double> frequencies;  // [rope_dim / 2]
    std::vector<float> computed;      // [positions so far, rope_dim / 2, 2]
  };
  void grow(Angles& angles, size_t n_positions) const;

  double magnitude_;
  size_t long_above_;
  Angles usual_;
  Angles long_;  // without frequencies: there is no other set
};

}  // namespace lazyfill
