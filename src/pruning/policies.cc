#include "lazyfill/policies.h"

#include <algorithm>
#include <array>

#include "base/quoted.h"
#include "pruning/policy_rows.h"

namespace lazyfill {
namespace {

// SplitMix64: a well-mixed number for every (seed, layer, position), so that a random choice is the same in
// every step and on every machine.
uint64_t mix(uint64_t x) {
  x += 0x9E3779B97F4A7C15ULL;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ULL;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBULL;
  return x ^ (x >> 31);
}

std::vector<float> by_attention(const LazyOptions& /*options*/, Evidence& evidence) {
  const std::span<const float> attention = evidence.attention();
  return {attention.begin(), attention.end()};
}

// What a head takes from a token is its attention times the token's value: mean over the query heads of
// attention[head, i] * |value[kv head of it, i]|.
std::vector<float> by_values(const LazyOptions& /*options*/, Evidence& evidence) {
  const size_t n = evidence.positions.size();
  const size_t heads_per_kv = evidence.n_heads / evidence.n_kv_heads;
  const std::span<const float> attention = evidence.attention_by_head();  // [n_heads, n]
  const std::span<const float> norms = evidence.value_norms();            // [n_kv_heads, n]
  std::vector<float> scores(n);
  for (size_t head = 0; head < evidence.n_heads; ++head) {
    const auto own = attention.subspan(head * n, n);
    const auto norm = norms.subspan(head / heads_per_kv * n, n);
    for (size_t i = 0; i < n; ++i) scores[i] += own[i] * norm[i] / static_cast<float>(evidence.n_heads);
  }
  return scores;
}

std::vector<float> by_position(const LazyOptions& /*options*/, Evidence& evidence) {
  return {evidence.positions.begin(), evidence.positions.end()};
}

std::vector<float> by_chance(const LazyOptions& options, Evidence& evidence) {
  std::vector<float> scores;
  scores.reserve(evidence.positions.size());
  for (int32_t position : evidence.positions)
    scores.push_back(static_cast<float>(mix(mix(options.seed) + static_cast<uint64_t>(position)) >> 40));
  return scores;
}

// A row says what differs from PolicyInfo's defaults.
constexpr std::array<PolicyInfo, kNumPolicies> kPolicies = {{
    {.policy = Policy::kLazy,
     .name = "lazy",
     .help = "by the last row's attention, chosen anew in every step",
     .attention = AttentionUse::kAlways,
     .search_order = 3,
     .score = by_attention},
    {.policy = Policy::kRandom, .name = "random", .help = "by chance", .score = by_chance},
    {.policy = Policy::kRecent, .name = "recent", .help = "the newest", .score = by_position},
    {.policy = Policy::kStatic,
     .name = "static",
     .help = "as lazy, but chosen once",
     .attention = AttentionUse::kFirstStep,
     .chooses_once = true,
     .score = by_attention},
    {.policy = Policy::kWindow,
     .name = "window",
     .help = "by the last rows' pooled attention",
     .attention = AttentionUse::kAlways,
     .voters = Voters::kWindow,
     .pools = true,
     // It asks for other tokens with every step, most of them in vain: only much better ones are worth it.
     .revival = Revival::automatic(),
     .revive_margin = 8,
     .search_order = 2,
     .score = by_attention},
    {.policy = Policy::kFocus,
     .name = "focus",
     .help = "as window, over several layers and without the chat template's words",
     .attention = AttentionUse::kAlways,
     .voters = Voters::kWords,
     .pools = true,
     .remembers = true,
     // Its votes change little from step to step: it knows well what it wants.
     .revival = Revival::automatic(),
     .revive_margin = 3,
     .search_order = 1,
     .score = by_attention},
    {.policy = Policy::kValues,
     .name = "values",
     .help = "as lazy, each head's attention times the norm of the value",
     .attention = AttentionUse::kAlways,
     .score = by_values},
    // Rivals to compare with; none of them brings a dropped token back.
    {.policy = Policy::kFastKv,
     .name = "fastkv",
     .help = "as window, but chosen once",
     .attention = AttentionUse::kFirstStep,
     .voters = Voters::kWindow,
     .pools = true,
     .chooses_once = true,
     .score = by_attention},
    {.policy = Policy::kSnapKv,
     .name = "snapkv",
     .help = "as window, in each layer for itself, after a dense prefill",
     .attention = AttentionUse::kFirstStep,
     .voters = Voters::kWindow,
     .pools = true,
     .chooses_once = true,
     .leaves = Leaves::kColumns,
     .score = by_attention},
    {.policy = Policy::kGemFilter,
     .name = "gemfilter",
     .help = "by the last row's pooled attention, and the model starts again with those alone",
     .attention = AttentionUse::kFirstStep,
     .pools = true,
     .chooses_once = true,
     .leaves = Leaves::kPrompt,
     .score = by_attention},
}};
static_assert(fault_in(kPolicies) == TableFault::kNone,
              "a policy without a row, a row out of the enum's order, or one that contradicts itself");

}  // namespace

std::span<const PolicyInfo> policies() {
  return kPolicies;
}

const PolicyInfo& policy_info(Policy policy) {
  return kPolicies[static_cast<size_t>(policy)];
}

const PolicyInfo& policy_info(const LazyOptions& options) {
  return policy_info(options.policy.value_or(Policy::kLazy));
}

std::string_view policy_name(Policy policy) {
  return policy_info(policy).name;
}

Result<Policy> policy_from_name(std::string_view name) {
  const auto* const found = std::find_if(kPolicies.begin(), kPolicies.end(),
                                         [&](const PolicyInfo& info) { return info.name == name; });
  if (found != kPolicies.end()) return found->policy;
  std::string known;
  for (const PolicyInfo& info : kPolicies) known += (known.empty() ? "" : ", ") + std::string(info.name);
  return fail(ErrorCode::kInvalidArgument, quoted(name) + " is no policy; there are " + known);
}

}  // namespace lazyfill
