// Which tokens stay. Pure functions: scores in, kept indices out; nothing here knows of tensors or caches.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "lazyfill/policies.h"
#include "lazyfill/types.h"

namespace lazyfill {

// Among whom a stage chooses: the n tokens that entered its layer, in ascending order of position.
struct Candidates {
  std::span<const int32_t> positions;  // [n]
  std::span<const float> votes;  // [n] what the policy's score() said; not looked at after the first step of
                                 // one that chooses once
  std::span<const uint8_t>
      computed_next;  // [n] 1 where the token has a column at the next layer, or is a new row
  bool is_first_step = true;
  // Of those without a column at the next layer at most so many are kept (not given: all), and only such
  // whose score is revive_margin times that of the weakest that the stage has room for.
  std::optional<size_t> max_revived;
  float revive_margin = 0;
};

// Whether the policy looks at attention.
bool needs_attention(const LazyOptions& options, bool is_first_step);

// Those that a search for a preset tries, in its order.
std::vector<Policy> searched_policies();

// How many come back at a stage with Revival::automatic() at most, whatever a step could pay for.
inline constexpr size_t kMostRevived = 8;

// How many come back where the caller has not said: what the policy's row says.
void limit_revivals(LazyOptions& options);

// Voters::kWords: which of the new tokens vote, as ascending indices: the last one, whose output is wanted,
// and the window_rows before it or before the words that the chat template added at the end. is_control:
// [n_new] 1 for control tokens of the vocabulary.
std::vector<size_t> choose_voters(const LazyOptions& options, std::span<const uint8_t> is_control);

// How a token stands in the choice.
enum class Standing : uint8_t { kBarred, kFree, kForced };

// Indices of the n_keep highest scores, ascending; forced ones first and always, even beyond n_keep; barred
// ones never. Of equal scores the later token stays.
std::vector<uint32_t> keep_highest(std::span<const float> scores, std::span<const Standing> standing,
                                   size_t n_keep);

// How many of the highest scores hold the share `mass` of their sum, the first token's left out: it takes
// most of any row's attention, whatever the text. At least 1.
size_t count_for_mass(std::span<const float> scores, double mass);

// Average or maximum over `width` (odd) neighbours in the list, fewer at its ends.
std::vector<float> pooled(std::span<const float> scores, Pooling pooling, size_t width);

// The whole choice of one stage. Tokens at positions from prompt_end on count as generated: with
// options.prune_generated off they all stay, and the stage's share is of the others alone (of a keep_mass: of
// all).
std::vector<uint32_t> choose_kept(const LazyOptions& options, const ScheduleStage& stage,
                                  const Candidates& candidates, size_t prompt_end);

}  // namespace lazyfill
