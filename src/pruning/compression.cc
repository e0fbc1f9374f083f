#include "pruning/compression.h"

#include <limits>
#include <numeric>

#include "pruning/policy.h"
#include "pruning/schedule.h"

namespace lazyfill {

std::vector<uint32_t> choose_informative(std::span<const float> logprobs, double keep) {
  std::vector<float> surprise;
  for (float logprob : logprobs) surprise.push_back(-logprob);
  if (!surprise.empty()) surprise.front() = std::numeric_limits<float>::infinity();
  std::vector<Standing> standing(surprise.size(), Standing::kFree);
  if (!standing.empty()) standing.back() = Standing::kForced;
  return keep_highest(surprise, standing, kept_count({0, keep, 0}, surprise.size()));
}

std::vector<uint32_t> choose_at_random(size_t n, double keep, uint64_t seed) {
  std::vector<int32_t> positions(n);
  std::iota(positions.begin(), positions.end(), 0);
  const std::vector<uint8_t> computed(n, 1);
  LazyOptions options;
  options.policy = Policy::kRandom;
  options.seed = seed;
  Evidence evidence;
  evidence.positions = positions;
  const std::vector<float> votes = policy_info(options).score(options, evidence);
  return choose_kept(options, {0, keep, 0}, {positions, votes, computed, true}, n);
}

}  // namespace lazyfill
