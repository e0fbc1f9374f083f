#include "model/rope_angles.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace lazyfill {
namespace {

RopeConfig rope_of(size_t n_pairs) {
  RopeConfig rope;
  for (size_t i = 0; i < n_pairs; ++i)
    rope.frequencies.push_back(std::pow(10000.0, -static_cast<double>(i) / static_cast<double>(n_pairs)));
  return rope;
}

// [pairs, 2] x turned by angles [pairs, 2] of (cos, sin).
std::vector<double> turned(const std::vector<double>& x, const std::vector<float>& angles) {
  std::vector<double> y(x.size());
  for (size_t i = 0; i < x.size(); i += 2) {
    y[i] = x[i] * angles[i] - x[i + 1] * angles[i + 1];
    y[i + 1] = x[i] * angles[i + 1] + x[i + 1] * angles[i];
  }
  return y;
}

double dot(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

std::vector<float> at(const RopeConfig& rope, int32_t position) {
  std::vector<float> angles(2 * rope.frequencies.size());
  rope_angles(rope, {&position, 1}, 4096, angles.data());
  return angles;
}

// A stream's positions grow without bound, and what counts is how far apart two tokens are. Floats of cosines
// and sines are off by 6e-8 each at most, wherever they are.
TEST(RopeAngles, AreAsExactAtAMillionAsAtTheBeginning) {
  const RopeConfig rope = rope_of(32);
  std::vector<double> q(64);
  std::vector<double> k(64);
  for (size_t i = 0; i < q.size(); ++i) {
    q[i] = std::sin(static_cast<double>(i) + 1);
    k[i] = std::cos(static_cast<double>(3 * i));
  }
  const double most = 4 * 6e-8 * std::sqrt(dot(q, q) * dot(k, k));
  for (int32_t distance : {0, 1, 7, 100, 1999}) {
    const double expected = dot(turned(q, at(rope, distance)), turned(k, at(rope, 0)));
    for (int32_t position : {1000, 1000000, 2000000000}) {
      const double score = dot(turned(q, at(rope, position + distance)), turned(k, at(rope, position)));
      EXPECT_NEAR(score, expected, most) << position << " and " << distance;
    }
  }
}

TEST(RopeAngles, ASecondTurnLeadsFromPositionToPlace) {
  RopeConfig rope = rope_of(16);
  rope.magnitude = 1.3;
  rope.long_above = 100;
  for (double frequency : rope.frequencies) rope.long_frequencies.push_back(frequency / 3);
  std::vector<double> x(32);
  for (size_t i = 0; i < x.size(); ++i) x[i] = std::sin(static_cast<double>(i * i));
  for (size_t context_tokens : {64, 4096}) {
    for (int32_t position : {5, 4000, 1000000}) {
      const int32_t place = 1003;
      const int32_t by = place - position;
      std::vector<float> first(32);
      std::vector<float> second(32);
      std::vector<float> expected(32);
      rope_angles(rope, {&position, 1}, context_tokens, first.data());
      turn_angles(rope, {&by, 1}, context_tokens, second.data());
      rope_angles(rope, {&place, 1}, context_tokens, expected.data());
      const std::vector<double> twice = turned(turned(x, first), second);
      const std::vector<double> once = turned(x, expected);
      for (size_t i = 0; i < x.size(); ++i) EXPECT_NEAR(twice[i], once[i], 1e-6) << position;
    }
  }
}

}  // namespace
}  // namespace lazyfill
