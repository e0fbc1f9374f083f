#include "model/rope_table.h"

#include <algorithm>
#include <cmath>

namespace lazyfill {

RopeTable::RopeTable(const RopeConfig& rope, size_t rope_dim) : rope_dim_(rope_dim) {
  for (size_t i = 0; i < rope_dim / 2; ++i) {
    const double exponent = -2.0 * static_cast<double>(i) / static_cast<double>(rope_dim);
    frequencies_.push_back(rope.scale * std::pow(rope.theta, exponent));
  }
}

void RopeTable::gather(std::span<const int32_t> positions, float* out) {
  if (positions.empty()) return;
  grow(static_cast<size_t>(*std::max_element(positions.begin(), positions.end())) + 1);
  for (int32_t position : positions) {
    out = std::copy_n(angles_.begin() + static_cast<ptrdiff_t>(position * rope_dim_), rope_dim_, out);
  }
}

void RopeTable::grow(size_t n_positions) {
  for (size_t position = angles_.size() / rope_dim_; position < n_positions; ++position) {
    for (double frequency : frequencies_) {
      // In double: at position 8,000 a float angle is off by half a thousandth.
      const double angle = static_cast<double>(position) * frequency;
      angles_.push_back(static_cast<float>(std::cos(angle)));
      angles_.push_back(static_cast<float>(std::sin(angle)));
    }
  }
}

}  // namespace lazyfill
