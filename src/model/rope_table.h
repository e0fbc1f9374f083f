// Cosines and sines of the rotary embedding, computed once a position.
#pragma once

#include <span>
#include <vector>

#include "model/config.h"

namespace lazyfill {

class RopeTable {
 public:
  RopeTable(const RopeConfig& rope, size_t rope_dim);

  // Appends the angles of `positions` to out: [positions.size(), rope_dim / 2, 2] of (cos, sin).
  void gather(std::span<const int32_t> positions, float* out);

 private:
  void grow(size_t n_positions);

  size_t rope_dim_;
  std::vector<double> frequencies_;  // [rope_dim / 2]
  std::vector<float> angles_;        // [positions so far, rope_dim / 2, 2]
};

}  // namespace lazyfill
