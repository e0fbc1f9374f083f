#include "engine/sampling.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <numeric>
#include <utility>

#include "engine/logits.h"

namespace lazyfill {
namespace {

constexpr float kMostBias = 1000;    // far above any difference of logits
constexpr double kMostTokens = 1e9;  // far above any context

// Length of the shortest prefix of descending probabilities that passes top-p, then min-p.
size_t nucleus(std::span<const double> probabilities, const SamplingOptions& options) {
  size_t n = 0;
  double sum = 0;
  while (n < probabilities.size() && (n == 0 || sum < options.top_p)) sum += probabilities[n++];
  while (n > 1 && probabilities[n - 1] < options.min_p * probabilities[0]) --n;
  return n;
}

struct Range {
  const char* name;
  double value;
  double min, max;
};

std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%g", value);
  return text;
}

tl::unexpected<Error> invalid(std::string sentence) {
  return fail(ErrorCode::kInvalidArgument, std::move(sentence));
}

Result<void> check_biases(const std::vector<LogitBias>& biases, size_t n_tokens) {
  std::vector<int32_t> banned;
  for (const LogitBias& bias : biases) {
    if (bias.id < 0 || static_cast<size_t>(bias.id) >= n_tokens) {
      return invalid("logit_bias names the token id " + std::to_string(bias.id) +
                     ", which does not exist; this model has ids from 0 to " + std::to_string(n_tokens - 1));
    }
    if (!(bias.bias <= kMostBias)) {  // NaN neither
      return invalid("the logit_bias of token id " + std::to_string(bias.id) + " must be a number up to " +
                     number(kMostBias) + ", not " + number(bias.bias));
    }
    if (bias.bias <= kBanBias) banned.push_back(bias.id);
  }
  if (banned.size() < n_tokens) return {};
  std::sort(banned.begin(), banned.end());
  banned.erase(std::unique(banned.begin(), banned.end()), banned.end());
  if (banned.size() == n_tokens) return invalid("logit_bias bans every token; leave one at least");
  return {};
}

}  // namespace

Result<void> check_sampling(const SamplingOptions& options, size_t n_tokens) {
  const Range ranges[] = {
      {"temperature", options.temperature, 0, 100},
      {"top_p", options.top_p, 0, 1},
      {"min_p", options.min_p, 0, 1},
      {"repeat_penalty", options.repeat_penalty, 0.01F, 100},
      {"repeat_last_n", double(options.repeat_last_n), -1, kMostTokens},
      {"presence_penalty", options.presence_penalty, -100, 100},
      {"frequency_penalty", options.frequency_penalty, -100, 100},
      {"dry_multiplier", options.dry_multiplier, 0, 100},
      {"dry_base", options.dry_base, 1, 100},
      {"dry_allowed_length", double(options.dry_allowed_length), 1, kMostTokens},
      {"dry_penalty_last_n", double(options.dry_penalty_last_n), -1, kMostTokens},
  };
  for (const Range& range : ranges) {
    if (range.value >= range.min && range.value <= range.max) continue;
    return invalid(std::string(range.name) + " must be a number from " + number(range.min) + " to " +
                   number(range.max) + ", not " + number(range.value));
  }
  return check_biases(options.logit_bias, n_tokens);
}

TokenLogprobs token_logprobs(std::span<const float> logits, size_t n_tokens, int32_t chosen, size_t n) {
  const double normaliser = log_sum_exp(logits);
  const auto of = [&](int32_t id) {
    return TokenLogprob{id, static_cast<float>(logits[static_cast<size_t>(id)] - normaliser)};
  };
  TokenLogprobs found{.chosen = of(chosen), .top = {}};
  if (n == 0) return found;
  for (const int32_t id : highest(logits.first(n_tokens), n)) found.top.push_back(of(id));
  return found;
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
