#include "engine/prefill_order.h"

#include <algorithm>
#include <cassert>
#include <numeric>
#include <tuple>

namespace lazyfill {

std::vector<std::vector<size_t>> pack_prompts(std::span<const WaitingPrompt> prompts, size_t pack_tokens) {
  std::vector<size_t> order(prompts.size());
  std::iota(order.begin(), order.end(), size_t{0});
  const auto key = [&](size_t i) {
    return std::tuple(-int64_t{prompts[i].priority}, prompts[i].n_tokens, prompts[i].number);
  };
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return key(a) < key(b); });
  std::vector<std::vector<size_t>> packs;
  size_t n_tokens = 0;  // of the last pack
  for (size_t i : order) {
    const WaitingPrompt& prompt = prompts[i];
    const bool fits = !packs.empty() && prompts[packs.back()[0]].priority == prompt.priority &&
                      n_tokens + prompt.n_tokens <= pack_tokens;
    if (!fits) {
      packs.emplace_back();
      n_tokens = 0;
    }
    packs.back().push_back(i);
    n_tokens += prompt.n_tokens;
  }
  return packs;
}

size_t next_prefill(std::span<const BegunPrefill> prefills, bool is_turn_of_oldest) {
  assert(!prefills.empty());
  const auto key = [&](const BegunPrefill& prefill) {
    const double left = is_turn_of_oldest ? 0 : prefill.n_tokens_left;
    return std::tuple(-int64_t{prefill.priority}, left, prefill.number);
  };
  const auto next = std::min_element(prefills.begin(), prefills.end(),
                                     [&](const auto& a, const auto& b) { return key(a) < key(b); });
  return static_cast<size_t>(next - prefills.begin());
}

}  // namespace lazyfill
