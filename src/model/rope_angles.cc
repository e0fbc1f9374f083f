#include "model/rope_angles.h"

#include <cmath>

namespace lazyfill {
namespace {

void angles(const RopeConfig& rope, double magnitude, std::span<const int32_t> positions,
            size_t context_tokens, float* out) {
  const bool is_long = !rope.long_frequencies.empty() && context_tokens > rope.long_above;
  const std::vector<double>& frequencies = is_long ? rope.long_frequencies : rope.frequencies;
  for (int32_t position : positions) {
    for (double frequency : frequencies) {
      const double angle = static_cast<double>(position) * frequency;
      *out++ = static_cast<float>(magnitude * std::cos(angle));
      *out++ = static_cast<float>(magnitude * std::sin(angle));
    }
  }
}

}  // namespace

void rope_angles(const RopeConfig& rope, std::span<const int32_t> positions, size_t context_tokens,
                 float* out) {
  angles(rope, rope.magnitude, positions, context_tokens, out);
}

void turn_angles(const RopeConfig& rope, std::span<const int32_t> turns, size_t context_tokens, float* out) {
  angles(rope, 1, turns, context_tokens, out);
}

}  // namespace lazyfill
