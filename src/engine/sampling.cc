#include "engine/sampling.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "engine/logits.h"

namespace lazyfill {
namespace {

// Length of the shortest prefix of descending probabilities that passes top-p, then min-p.
size_t nucleus(std::span<const double> probabilities, const SamplingOptions& options) {
  size_t n = 0;
  double sum = 0;
  while (n < probabilities.size() && (n == 0 || sum < options.top_p)) sum += probabilities[n++];
  while (n > 1 && probabilities[n - 1] < options.min_p * probabilities[0]) --n;
  return n;
}

}  // namespace

std::vector<TokenLogprob> top_logprobs(std::span<const float> logits, size_t n_tokens, size_t n) {
  std::vector<TokenLogprob> top;
  if (n == 0) return top;
  const double normaliser = log_sum_exp(logits);
  for (int32_t id : highest(logits.first(n_tokens), n)) {
    top.push_back({id, static_cast<float>(logits[static_cast<size_t>(id)] - normaliser)});
  }
  return top;
}

int32_t sample(std::span<const float> logits, const SamplingOptions& options, std::mt19937_64& random) {
  if (options.temperature <= 0) return highest(logits, 1)[0];
  const std::vector<int32_t> ids = highest(logits, options.top_k == 0 ? logits.size() : options.top_k);
  std::vector<double> probabilities;
  for (int32_t id : ids) {
    const double above = logits[static_cast<size_t>(id)] - logits[static_cast<size_t>(ids[0])];
    probabilities.push_back(std::exp(above / options.temperature));
  }
  const double sum = std::accumulate(probabilities.begin(), probabilities.end(), 0.0);
  for (double& probability : probabilities) probability /= sum;
  probabilities.resize(nucleus(probabilities, options));
  std::discrete_distribution<size_t> draw(probabilities.begin(), probabilities.end());
  return ids[draw(random)];
}

}  // namespace lazyfill
