#include "pruning/policy.h"

#include <algorithm>
#include <bit>
#include <functional>
#include <numeric>

#include "pruning/schedule.h"

namespace lazyfill {
namespace {

// A chat template ends a prompt with a few words of its own; a control token among the last so many tokens is
// where they begin.
constexpr size_t kTemplateTail = 16;

std::vector<Standing> standing_of(const LazyOptions& options, const Candidates& candidates,
                                  size_t prompt_end) {
  const size_t n = candidates.positions.size();
  const size_t n_newest = std::max<size_t>(options.protect_last, 1);  // the last row gives the logits
  std::vector<Standing> standing(n, Standing::kFree);
  for (size_t i = 0; i < n; ++i) {
    const auto position = static_cast<size_t>(candidates.positions[i]);
    if (position < options.protect_first || i + n_newest >= n ||
        (!options.prune_generated && position >= prompt_end)) {
      standing[i] = Standing::kForced;
    }
  }
  return standing;
}

// Orders by score, then by index, in whole numbers: a selection over them is several times as fast as one
// that looks scores up.
uint64_t key_of(float score, uint32_t index) {
  const auto bits = std::bit_cast<uint32_t>(score + 0.0F);  // no negative zero
  const uint32_t ascending = (bits >> 31) != 0 ? ~bits : bits | 0x80000000U;
  return static_cast<uint64_t>(ascending) << 32 | index;
}

// Leaves the n highest keys, in no order.
void select_highest(std::vector<uint64_t>& keys, size_t n) {
  if (n >= keys.size()) return;
  std::nth_element(keys.begin(), keys.begin() + static_cast<ptrdiff_t>(n), keys.end(), std::greater<>());
  keys.resize(n);
}

// What a token must have to be among the n highest; nothing where there is room for all.
float weakest_of(std::span<const float> scores, size_t n) {
  if (n == 0 || n >= scores.size()) return 0;
  std::vector<float> sorted(scores.begin(), scores.end());
  const auto weakest = sorted.begin() + static_cast<ptrdiff_t>(n - 1);
  std::nth_element(sorted.begin(), weakest, sorted.end(), std::greater<>());
  return *weakest;
}

// Of the tokens that would have to be computed, only the max_revived highest stand for the choice, and none
// that is hardly better than what would take its place for nothing.
void bar_missing(std::span<const float> scores, const Candidates& candidates, size_t n_keep,
                 std::vector<Standing>& standing) {
  const float least = candidates.revive_margin * weakest_of(scores, n_keep);
  std::vector<uint64_t> missing;
  for (uint32_t i = 0; i < scores.size(); ++i) {
    if (candidates.computed_next[i] != 0 || standing[i] == Standing::kForced) continue;
    standing[i] = Standing::kBarred;
    if (scores[i] < least) continue;
    missing.push_back(key_of(scores[i], i));
  }
  if (candidates.max_revived) select_highest(missing, *candidates.max_revived);
  for (uint64_t key : missing) standing[static_cast<uint32_t>(key)] = Standing::kFree;
}

// How many tokens the stage has room for, generated ones that are never dropped included.
size_t wanted_count(const LazyOptions& options, const ScheduleStage& stage,
                    std::span<const int32_t> positions, std::span<const float> scores, size_t prompt_end) {
  if (stage.keep_mass > 0) return count_for_mass(scores, stage.keep_mass);
  if (options.prune_generated) return kept_count(stage, positions.size());
  const auto first_generated =
      std::lower_bound(positions.begin(), positions.end(), static_cast<int32_t>(prompt_end));
  const auto n_generated = static_cast<size_t>(positions.end() - first_generated);
  return n_generated + kept_count(stage, positions.size() - n_generated);
}

// The choice was made at prefill: what was dropped then stays away, what came since stays.
std::vector<uint32_t> keep_computed(std::span<const uint8_t> computed) {
  std::vector<uint32_t> kept;
  for (uint32_t i = 0; i < computed.size(); ++i) {
    if (computed[i] != 0) kept.push_back(i);
  }
  return kept;
}

}  // namespace

bool needs_attention(const LazyOptions& options, bool is_first_step) {
  const AttentionUse use = policy_info(options).attention;
  return use == AttentionUse::kAlways || (use == AttentionUse::kFirstStep && is_first_step);
}

std::vector<Policy> searched_policies() {
  std::vector<PolicyInfo> searched;
  for (const PolicyInfo& info : policies()) {
    if (info.search_order > 0) searched.push_back(info);
  }
  std::sort(searched.begin(), searched.end(),
            [](const PolicyInfo& a, const PolicyInfo& b) { return a.search_order < b.search_order; });
  std::vector<Policy> found;
  for (const PolicyInfo& info : searched) found.push_back(info.policy);
  return found;
}

void limit_revivals(LazyOptions& options) {
  const PolicyInfo& info = policy_info(options);
  if (options.revival.mode == Revival::Mode::kDefault) options.revival = info.revival;
  if (!options.revive_margin)
    options.revive_margin = options.revival == Revival::all() ? 0 : info.revive_margin;
}

std::vector<size_t> choose_voters(const LazyOptions& options, std::span<const uint8_t> is_control) {
  if (is_control.empty()) return {};
  const size_t last = is_control.size() - 1;
  size_t end = last;  // of the words that may vote
  const size_t tail = last + 1 - std::min(kTemplateTail, last + 1);
  const auto first_control = std::find_if(is_control.begin() + static_cast<ptrdiff_t>(tail), is_control.end(),
                                          [](uint8_t control) { return control != 0; });
  if (first_control != is_control.end())
    end = std::min(last, static_cast<size_t>(first_control - is_control.begin()));
  std::vector<size_t> voters;
  for (size_t i = end - std::min(options.window_rows, end); i < end; ++i) voters.push_back(i);
  voters.push_back(last);
  return voters;
}

std::vector<uint32_t> keep_highest(std::span<const float> scores, std::span<const Standing> standing,
                                   size_t n_keep) {
  std::vector<uint64_t> keys;
  keys.reserve(scores.size());
  size_t n_forced = 0;
  for (uint32_t i = 0; i < scores.size(); ++i) {
    if (standing[i] == Standing::kFree) keys.push_back(key_of(scores[i], i));
    n_forced += standing[i] == Standing::kForced ? 1 : 0;
  }
  select_highest(keys, n_keep - std::min(n_keep, n_forced));
  std::vector<uint8_t> stays(scores.size(), 0);
  for (uint64_t key : keys) stays[static_cast<uint32_t>(key)] = 1;
  std::vector<uint32_t> kept;
  kept.reserve(keys.size() + n_forced);
  for (uint32_t i = 0; i < scores.size(); ++i) {
    if (stays[i] != 0 || standing[i] == Standing::kForced) kept.push_back(i);
  }
  return kept;
}

size_t count_for_mass(std::span<const float> scores, double mass) {
  if (scores.size() < 2) return scores.size();
  std::vector<float> sorted(scores.begin() + 1, scores.end());
  std::sort(sorted.begin(), sorted.end(), std::greater<>());
  // A hair less, so that a mass of 1 is not missed by rounding.
  const double wanted = mass * std::accumulate(sorted.begin(), sorted.end(), 0.0) * (1 - 1e-12);
  double held = 0;
  size_t n = 0;
  while (n < sorted.size() && held < wanted) held += static_cast<double>(sorted[n++]);
  return n + 1;
}

std::vector<float> pooled(std::span<const float> scores, Pooling pooling, size_t width) {
  if (pooling == Pooling::kNone || width <= 1) return {scores.begin(), scores.end()};
  const size_t half = width / 2;
  std::vector<float> out(scores.size());
  for (size_t i = 0; i < scores.size(); ++i) {
    const size_t begin = i >= half ? i - half : 0;
    const auto neighbours = scores.subspan(begin, std::min(i + half + 1, scores.size()) - begin);
    out[i] = pooling == Pooling::kMax ? *std::max_element(neighbours.begin(), neighbours.end())
                                      : std::accumulate(neighbours.begin(), neighbours.end(), 0.0F) /
                                            static_cast<float>(neighbours.size());
  }
  return out;
}

std::vector<uint32_t> choose_kept(const LazyOptions& options, const ScheduleStage& stage,
                                  const Candidates& candidates, size_t prompt_end) {
  const PolicyInfo& info = policy_info(options);
  if (info.chooses_once && !candidates.is_first_step) return keep_computed(candidates.computed_next);
  const std::vector<float> scores =
      pooled(candidates.votes, info.pools ? options.pooling : Pooling::kNone, options.pooling_width);
  std::vector<Standing> standing = standing_of(options, candidates, prompt_end);
  const size_t n_keep = wanted_count(options, stage, candidates.positions, scores, prompt_end);
  if (candidates.max_revived || candidates.revive_margin > 0)
    bar_missing(scores, candidates, n_keep, standing);
  return keep_highest(scores, standing, n_keep);
}

}  // namespace lazyfill
