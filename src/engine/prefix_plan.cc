#include "engine/prefix_plan.h"

#include <sstream>

#include "lazyfill/policies.h"

namespace lazyfill {

std::optional<PrefixPlan> prefix_plan(const ResolvedLazy& plan, size_t n_layers) {
  const LazyOptions& lazy = plan.lazy;
  const float mass = lazy.attention_mass.value_or(1);
  if (plan.stages.empty()) {
    if (mass < 1) return std::nullopt;
    return PrefixPlan{"dense", n_layers, 1};
  }
  std::ostringstream name;
  name.precision(9);
  for (const ScheduleStage& stage : plan.stages)
    name << stage.layer << ':' << stage.keep << '@' << stage.keep_tokens << 'p' << stage.keep_mass << ',';
  name << policy_info(*lazy.policy).name << ' ' << lazy.window_rows << ' ' << static_cast<int>(lazy.pooling)
       << ' ' << lazy.pooling_width << ' ' << lazy.score_layers << ' ' << lazy.vote_memory << ' ' << lazy.seed
       << ' ' << lazy.protect_first << ' ' << lazy.protect_last << ' ' << lazy.prune_generated << ' '
       << static_cast<int>(lazy.revival.mode) << ' ' << lazy.revival.at_most << ' '
       << lazy.revive_margin.value_or(-1) << ' ' << mass;
  return PrefixPlan{name.str(), plan.stages.front().layer, mass};
}

}  // namespace lazyfill
