#include "model/rope_table.h"

#include <algorithm>
#include <cmath>

namespace lazyfill {

RopeTable::RopeTable(const RopeConfig& rope)
    : magnitude_(rope.magnitude),
      long_above_(rope.long_above),
      usual_{rope.frequencies, {}},
      long_{rope.long_frequencies, {}} {}

void RopeTable::gather(std::span<const int32_t> positions, size_t context_tokens, float* out) {
  if (positions.empty()) return;
  Angles& angles = !long_.frequencies.empty() && context_tokens > long_above_ ? long_ : usual_;
  grow(angles, static_cast<size_t>(*std::max_element(positions.begin(), positions.end())) + 1);
  const size_t rope_dim = 2 * angles.frequencies.size();
  for (int32_t position : positions) {
    out = std::copy_n(angles.computed.begin() + static_cast<ptrdiff_t>(position * rope_dim), rope_dim, out);
  }
}

void RopeTable::grow(Angles& angles, size_t n_positions) const {
  const size_t n_computed = angles.computed.size() / (2 * angles.frequencies.size());
  for (size_t position = n_computed; position < n_positions; ++position) {
    for (double frequency : angles.frequencies) {
      // In double: at position 8,000 a float angle is off by half a thousandth.
      const double angle = static_cast<double>(position) * frequency;
      angles.computed.push_back(static_cast<float>(magnitude_ * std::cos(angle)));
      angles.computed.push_back(static_cast<float>(magnitude_ * std::sin(angle)));
    }
  }
}

}  // namespace lazyfill
