#include "engine/prefix_plan.h"

#include <sstream>

#include "lazyfill/policies.h"

namespace lazyfill {
namespace {

// Counts up with every change to what columns or states hold, or to how a file is laid out.
constexpr char kPrefixBuild[] = "0.1.0-1";

}  // namespace

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

PrefixForm prefix_form(const Engine::Impl& engine, const SchedulerOptions& options) {
  PrefixForm form;
  form.shape = engine.cache_shape(options.context_tokens);
  form.shape.context_tokens = options.context_tokens;
  form.n_vocab = engine.model.config.n_vocab;
  // Another build may compute other last bits, and another context other positions.
  std::ostringstream name;
  name << "lazyfill " << kPrefixBuild << ", model " << engine.info.fingerprint << ", "
       << engine.model.kernels->name << ", columns " << static_cast<int>(form.shape.column_type)
       << ", activations " << static_cast<int>(engine.info.activation_bits) << ", context "
       << options.context_tokens;
  form.fingerprint = name.str();
  return form;
}

}  // namespace lazyfill
