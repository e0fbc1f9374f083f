#include "engine/logits.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>

namespace lazyfill {
namespace {

constexpr size_t kLanes = 16;
// Logits that are looked at together: none of them is worth a look where the largest is too small.
constexpr size_t kBlock = 256;
// Terms that are added as floats: few, so that none is lost beside the sum.
constexpr size_t kFloatTerms = 1024;

// 2^x for x at most 0, to 3e-7 (a minimax polynomial over half to either side); below -126 as good as 0.
float exp2_of_negative(float x) {
  constexpr float kRound = 12582912;  // 1.5 * 2^23: adding it leaves no bits for a fraction
  const float clamped = x > -126 ? x : -126;
  const float whole = (clamped + kRound) - kRound;
  const float f = clamped - whole;
  float p = 1.32764717e-3F * f + 9.67554154e-3F;
  p = p * f + 5.55071328e-2F;
  p = p * f + 2.40221197e-1F;
  p = p * f + 6.93146967e-1F;
  p = p * f + 1.00000007F;
  return p * std::bit_cast<float>((static_cast<int32_t>(whole) + 127) << 23);
}

}  // namespace

float largest(std::span<const float> logits) {
  std::array<float, kLanes> best;
  best.fill(std::numeric_limits<float>::lowest());
  size_t i = 0;
  for (; i + kLanes <= logits.size(); i += kLanes) {
    for (size_t lane = 0; lane < kLanes; ++lane)
      best[lane] = logits[i + lane] > best[lane] ? logits[i + lane] : best[lane];
  }
  for (; i < logits.size(); ++i) best[0] = std::max(best[0], logits[i]);
  return *std::max_element(best.begin(), best.end());
}

double log_sum_exp(std::span<const float> logits) {
  const float max = largest(logits);
  constexpr float kLog2E = 1.44269504F;
  double sum = 0;
  for (size_t begin = 0; begin < logits.size(); begin += kFloatTerms) {
    const auto part = logits.subspan(begin, std::min(kFloatTerms, logits.size() - begin));
    std::array<float, kLanes> sums{};
    size_t i = 0;
    for (; i + kLanes <= part.size(); i += kLanes) {
      float terms[kLanes];
      const float* logit = part.data() + i;
      for (size_t lane = 0; lane < kLanes; ++lane)
        terms[lane] = exp2_of_negative((logit[lane] - max) * kLog2E);
      for (size_t lane = 0; lane < kLanes; ++lane) sums[lane] += terms[lane];
    }
    for (; i < part.size(); ++i) sums[0] += exp2_of_negative((part[i] - max) * kLog2E);
    sum = std::accumulate(sums.begin(), sums.end(), sum);
  }
  return max + std::log(sum);
}

std::vector<int32_t> highest(std::span<const float> logits, size_t n) {
  const auto logit = [&](int32_t id) { return logits[static_cast<size_t>(id)]; };
  const auto is_before = [&](int32_t a, int32_t b) {
    return logit(a) != logit(b) ? logit(a) > logit(b) : a < b;
  };
  std::vector<int32_t> ids;  // of those seen so far: a heap with the last of them in front
  n = std::min(n, logits.size());
  ids.reserve(n);
  if (n == 0) return ids;
  for (size_t begin = 0; begin < logits.size(); begin += kBlock) {
    const auto block = logits.subspan(begin, std::min(kBlock, logits.size() - begin));
    if (ids.size() == n && largest(block) <= logit(ids[0])) continue;
    for (size_t i = 0; i < block.size(); ++i) {
      if (ids.size() == n) {
        if (block[i] <= logit(ids[0])) continue;
        std::pop_heap(ids.begin(), ids.end(), is_before);
        ids.pop_back();
      }
      ids.push_back(static_cast<int32_t>(begin + i));
      std::push_heap(ids.begin(), ids.end(), is_before);
    }
  }
  std::sort(ids.begin(), ids.end(), is_before);
  return ids;
}

// By the bits and to the end, so that the compiler makes vectors of it: a vocabulary is read for every token.
bool all_finite(std::span<const float> values) {
  constexpr uint32_t kExponent = 0x7f800000U;
  bool found = false;
  for (const float value : values) found |= (std::bit_cast<uint32_t>(value) & kExponent) == kExponent;
  return !found;
}

}  // namespace lazyfill
