#include <algorithm>
#include <cmath>
#include <limits>
#include <unordered_map>
#include <vector>

#include "engine/sampling.h"

namespace lazyfill {
namespace {

constexpr float kBanned = std::numeric_limits<float>::lowest();
// What a penalty takes at most: any logit is below any other then, and above those that are banned.
constexpr double kMostPenalty = 1e30;

std::span<const int32_t> last(std::span<const int32_t> tokens, int32_t n) {
  return n < 0 || static_cast<size_t>(n) >= tokens.size() ? tokens : tokens.last(static_cast<size_t>(n));
}

float& of(std::span<float> logits, int32_t id) {
  return logits[static_cast<size_t>(id)];
}

void penalise_repeats(std::span<float> logits, const SamplingOptions& options,
                      std::span<const int32_t> tokens) {
  std::vector<bool> seen(logits.size());
  for (const int32_t id : last(tokens, options.repeat_last_n)) {
    if (seen[static_cast<size_t>(id)]) continue;
    seen[static_cast<size_t>(id)] = true;
    float& logit = of(logits, id);
    logit = logit > 0 ? logit / options.repeat_penalty : logit * options.repeat_penalty;
  }
}

void penalise_counts(std::span<float> logits, const SamplingOptions& options,
                     std::span<const int32_t> answer) {
  std::vector<uint32_t> counts(logits.size());
  for (const int32_t id : answer) ++counts[static_cast<size_t>(id)];
  for (const int32_t id : answer) {
    uint32_t& count = counts[static_cast<size_t>(id)];
    if (count == 0) continue;  // it has had its penalty
    of(logits, id) -= static_cast<float>(count) * options.frequency_penalty + options.presence_penalty;
    count = 0;
  }
}

// [n] for each i how far the tokens before and at the end agree with those before and at i places from it.
std::vector<uint32_t> agreements_with_end(std::span<const int32_t> tokens) {
  const size_t n = tokens.size();
  const auto from_end = [&](size_t i) { return tokens[n - 1 - i]; };
  std::vector<uint32_t> lengths(n);
  size_t begin = 0;  // of the place seen so far that agrees furthest, and its end
  size_t end = 0;
  for (size_t i = 1; i < n; ++i) {
    size_t length = i < end ? std::min<size_t>(end - i, lengths[i - begin]) : 0;
    while (i + length < n && from_end(length) == from_end(i + length)) ++length;
    if (i + length > end) {
      begin = i;
      end = i + length;
    }
    lengths[i] = static_cast<uint32_t>(length);
  }
  return lengths;
}

// How many tokens there are at the end, of at most n, before one in which a breaker ends.
size_t unbroken(const SamplingHistory& history, const std::vector<std::string>& breakers, size_t n) {
  size_t n_bytes = 0;  // of the longest breaker: it may begin before those tokens
  for (const std::string& breaker : breakers) n_bytes = std::max(n_bytes, breaker.size());
  if (n_bytes == 0) return n;
  std::vector<std::string> pieces;  // the last one first
  size_t n_before = 0;
  for (size_t i = history.tokens.size(); i-- > 0 && (pieces.size() < n || n_before + 1 < n_bytes);) {
    pieces.push_back(history.piece(history.tokens[i]));
    if (pieces.size() > n) n_before += pieces.back().size();
  }
  std::string text;
  for (size_t i = pieces.size(); i-- > 0;) text += pieces[i];
  size_t broken_end = 0;
  for (const std::string& breaker : breakers) {
    if (breaker.empty()) continue;
    if (const size_t at = text.rfind(breaker); at != std::string::npos)
      broken_end = std::max(broken_end, at + breaker.size());
  }
  // The token that holds the byte before broken_end is no part of a repetition.
  size_t begin = text.size();
  for (size_t i = 0; i < std::min(n, pieces.size()); ++i) {
    begin -= pieces[i].size();
    if (broken_end > begin) return i;
  }
  return n;
}

bool holds_breaker(const std::string& piece, const std::vector<std::string>& breakers) {
  return std::any_of(breakers.begin(), breakers.end(), [&](const std::string& breaker) {
    return !breaker.empty() && piece.find(breaker) != std::string::npos;
  });
}

// Longer repetitions cost no more.
size_t longest_that_counts(const SamplingOptions& options) {
  if (options.dry_base == 1) return options.dry_allowed_length;
  const double room = std::log(kMostPenalty / double{options.dry_multiplier});
  return options.dry_allowed_length +
         static_cast<size_t>(std::ceil(room / std::log(double{options.dry_base})));
}

void penalise_repetitions(std::span<float> logits, const SamplingOptions& options,
                          const SamplingHistory& history) {
  const auto tokens = last(history.tokens, options.dry_penalty_last_n);
  if (tokens.size() <= options.dry_allowed_length) return;
  const std::vector<uint32_t> lengths = agreements_with_end(tokens);
  const size_t longest = *std::max_element(lengths.begin(), lengths.end());
  if (longest < options.dry_allowed_length) return;
  const size_t limit =
      unbroken(history, options.dry_sequence_breakers, std::min(longest, longest_that_counts(options)));
  if (limit < options.dry_allowed_length) return;
  std::unordered_map<int32_t, size_t> repeats;  // how long a repetition each token goes on with
  for (size_t i = 1; i < lengths.size(); ++i) {
    const size_t length = std::min<size_t>(lengths[i], limit);
    if (length < options.dry_allowed_length) continue;
    size_t& repeat = repeats[tokens[tokens.size() - i]];
    repeat = std::max(repeat, length);
  }
  for (const auto& [id, length] : repeats) {
    if (holds_breaker(history.piece(id), options.dry_sequence_breakers)) continue;
    const double exponent = static_cast<double>(length - options.dry_allowed_length);
    const double penalty = double{options.dry_multiplier} * std::pow(double{options.dry_base}, exponent);
    of(logits, id) -= static_cast<float>(std::min(penalty, kMostPenalty));
  }
}

}  // namespace

bool adjusts_logits(const SamplingOptions& options) {
  return options.repeat_penalty != 1 || options.presence_penalty != 0 || options.frequency_penalty != 0 ||
         options.dry_multiplier > 0 || !options.logit_bias.empty();
}

void adjust_logits(std::span<float> logits, const SamplingOptions& options, const SamplingHistory& history) {
  for (const LogitBias& bias : options.logit_bias)
    if (bias.bias > kBanBias) of(logits, bias.id) += bias.bias;
  if (options.repeat_penalty != 1) penalise_repeats(logits, options, history.tokens);
  if (options.presence_penalty != 0 || options.frequency_penalty != 0)
    penalise_counts(logits, options, history.tokens.subspan(history.n_prompt));
  if (options.dry_multiplier > 0) penalise_repetitions(logits, options, history);
  for (const LogitBias& bias : options.logit_bias)
    if (bias.bias <= kBanBias) of(logits, bias.id) = kBanned;
}

}  // namespace lazyfill
