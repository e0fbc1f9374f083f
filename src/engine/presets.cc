#include "engine/presets.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <sstream>
#include <string_view>
#include <utility>

#include "pruning/policy.h"
#include "pruning/schedule.h"

namespace lazyfill {
namespace {

// Without a preset. Below this a prompt is prefilled in about a second on two cores, and short prompts lose
// most from pruning.
constexpr size_t kAutoMinTokens = 1024;
// What the presets of other models have in common, softened: two early stages, chosen by the words before the
// answer, and attention that is somewhat sparse (docs/decisions.md).
struct DefaultStage {
  double depth;
  const char* keep;
};
constexpr DefaultStage kDefaultStages[] = {{0.3, "0.7"}, {0.6, "0.7"}};
constexpr Policy kDefaultPolicy = Policy::kFocus;
constexpr float kDefaultMass = 0.95F;

// At the layers that can prune nearest to these depths, but not at half of one or less, where scores say
// little. Where few can, as in models whose layers mostly see a window, two stages may fall together, and the
// second is left out.
std::string default_schedule(const ModelConfig& config) {
  const std::vector<size_t> layers = config.prunable_layers();
  if (layers.empty()) return "off";
  std::string schedule;
  std::optional<size_t> before;
  for (const DefaultStage& stage : kDefaultStages) {
    const double depth = stage.depth * static_cast<double>(config.n_layers);
    const auto distance = [depth](size_t layer) { return std::abs(static_cast<double>(layer) - depth); };
    const size_t layer = *std::min_element(layers.begin(), layers.end(),
                                           [&](size_t a, size_t b) { return distance(a) < distance(b); });
    if ((before && layer <= *before) || 2 * static_cast<double>(layer) <= depth) continue;
    before = layer;
    if (!schedule.empty()) schedule += ',';
    schedule += std::to_string(layer);
    schedule += ':';
    schedule += stage.keep;
  }
  return schedule.empty() ? "off" : schedule;
}

// Empty when there is no such file.
Result<std::optional<Preset>> read_preset(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return std::nullopt;
  std::ostringstream text;
  text << file.rdbuf();
  return preset_from_json(text.str(), path).map([](Preset preset) {
    return std::optional(std::move(preset));
  });
}

// What the record says where `asked` had no preset of its own.
std::string described(const FoundPreset* found, PresetKind asked) {
  const bool missing = asked == PresetKind::kFast && (found == nullptr || found->preset.kind != asked);
  std::string text = found == nullptr                        ? "default"
                     : missing || asked == PresetKind::kAuto ? "preset (" + found->place + ")"
                                                             : "fast preset (" + found->place + ")";
  return missing ? "no fast preset: " + text : text;
}

Result<void> check_lazy_options(const LazyOptions& lazy) {
  if (lazy.policy && static_cast<size_t>(*lazy.policy) >= policies().size())
    return fail(ErrorCode::kInvalidArgument, "the policy is none of enum Policy");
  if (lazy.window_rows == 0 || lazy.window_rows > 4096) {
    return fail(ErrorCode::kInvalidArgument, "the window must be from 1 to 4096 rows");
  }
  if (lazy.pooling_width % 2 == 0 || lazy.pooling_width > 4095) {
    return fail(ErrorCode::kInvalidArgument, "the pooling width must be odd and at most 4095");
  }
  if (lazy.score_layers == 0 || lazy.score_layers > 4096) {
    return fail(ErrorCode::kInvalidArgument, "the scores must come from 1 to 4096 layers");
  }
  if (!(lazy.vote_memory >= 0 && lazy.vote_memory < 1)) {
    return fail(ErrorCode::kInvalidArgument,
                "the votes of earlier steps must count with a share from 0 to below 1");
  }
  if (const float margin = lazy.revive_margin.value_or(0); !(margin >= 0 && std::isfinite(margin))) {
    return fail(ErrorCode::kInvalidArgument, "the margin of what comes back must be a number from 0 on");
  }
  if (const float mass = lazy.attention_mass.value_or(1); !(mass > 0 && mass <= 1)) {
    return fail(ErrorCode::kInvalidArgument,
                "sparse attention must keep a share above 0 and at most 1 of the attention");
  }
  return {};
}

// "auto" or "fast" as a schedule of the model; options of the preset's policy and its sparse attention go
// into `lazy` unless the caller named them.
std::string automatic(const ModelConfig& config, const FoundPreset* found, size_t n_tokens, LazyOptions& lazy,
                      LazyChoice& choice) {
  if (found == nullptr) {
    choice.min_tokens = kAutoMinTokens;
    choice.short_prompt = n_tokens < kAutoMinTokens;
    if (!lazy.policy) lazy.policy = kDefaultPolicy;
    if (choice.short_prompt) return "off";
    std::string schedule = default_schedule(config);
    if (!lazy.attention_mass && schedule != "off") lazy.attention_mass = kDefaultMass;
    return schedule;
  }
  const Preset& preset = found->preset;
  choice.min_tokens = preset.min_tokens;
  choice.short_prompt = n_tokens < preset.min_tokens;
  if (!lazy.policy) {
    lazy.policy = preset.lazy.policy;
    lazy.window_rows = preset.lazy.window_rows;
    lazy.pooling = preset.lazy.pooling;
    lazy.pooling_width = preset.lazy.pooling_width;
    lazy.score_layers = preset.lazy.score_layers;
    lazy.vote_memory = preset.lazy.vote_memory;
    if (lazy.revival.mode == Revival::Mode::kDefault) {
      lazy.revival = preset.lazy.revival;
      if (!lazy.revive_margin) lazy.revive_margin = preset.lazy.revive_margin;
    }
  }
  if (choice.short_prompt) return "off";
  if (!lazy.attention_mass) lazy.attention_mass = preset.lazy.attention_mass;
  return preset.lazy.schedule;
}

}  // namespace

std::string preset_path_beside(const std::string& model_path, PresetKind kind) {
  return model_path + (kind == PresetKind::kFast ? ".fast.preset.json" : ".preset.json");
}

std::string preset_path_in(const std::string& folder, const std::string& fingerprint, PresetKind kind) {
  return folder + "/" + fingerprint + (kind == PresetKind::kFast ? ".fast.json" : ".json");
}

Result<std::optional<FoundPreset>> find_preset(const std::string& fingerprint, const std::string& model_path,
                                               const std::string& user_folder, PresetKind kind) {
  struct Place {
    std::string path;
    const char* name;
  };
  std::vector<Place> places = {{preset_path_beside(model_path, kind), "beside the model"}};
  if (!user_folder.empty()) places.push_back({preset_path_in(user_folder, fingerprint, kind), "user"});
  for (const Place& place : places) {
    auto preset = read_preset(place.path);
    if (!preset) return tl::unexpected(preset.error());
    if (!preset->has_value() || (*preset)->fingerprint != fingerprint) continue;
    (*preset)->kind = kind;
    return FoundPreset{std::move(**preset), place.name};
  }
  for (std::string_view json : shipped_presets()) {
    // Few models have one; the others need no JSON. Its values cannot be taken apart without memory either.
    if (json.find(fingerprint) == std::string_view::npos) continue;
    auto preset = preset_from_json(json, "shipped with lazyfill");
    if (preset && preset->fingerprint == fingerprint && preset->kind == kind)
      return FoundPreset{std::move(*preset), "shipped"};
  }
  return std::nullopt;
}

ModelPresets::ModelPresets(const std::string& fingerprint, const std::string& model_path,
                           const std::string& user_folder) {
  for (PresetKind kind : kPresetKinds)
    found_[static_cast<size_t>(kind)] = find_preset(fingerprint, model_path, user_folder, kind);
}

Result<const FoundPreset*> ModelPresets::for_schedule(std::string_view schedule) const {
  const auto asked = preset_named(schedule);
  if (!asked) return nullptr;
  for (PresetKind kind : {*asked, PresetKind::kAuto}) {
    const auto& found = found_[static_cast<size_t>(kind)];
    if (!found) return tl::unexpected(found.error());
    if (found->has_value()) return &**found;
  }
  return nullptr;
}

Result<ResolvedLazy> resolve_lazy(const ModelConfig& config, const FoundPreset* preset,
                                  const LazyOptions& lazy, size_t n_tokens) {
  if (auto checked = check_lazy_options(lazy); !checked) return tl::unexpected(checked.error());
  ResolvedLazy resolved;
  resolved.lazy = lazy;
  resolved.choice.source = "given";
  std::string schedule = lazy.schedule;
  if (const auto asked = preset_named(schedule)) {
    schedule = automatic(config, preset, n_tokens, resolved.lazy, resolved.choice);
    resolved.choice.source = described(preset, *asked);
  }
  resolved.lazy.policy = policy_info(resolved.lazy).policy;
  limit_revivals(resolved.lazy);
  if (!resolved.lazy.attention_mass) resolved.lazy.attention_mass = 1;
  auto stages = parse_schedule(schedule, config.n_layers, config.prunable_layers());
  if (!stages) return tl::unexpected(stages.error());
  const bool by_mass = std::any_of(stages->begin(), stages->end(),
                                   [](const ScheduleStage& stage) { return stage.keep_mass > 0; });
  if (by_mass && !needs_attention(resolved.lazy, true)) {
    return fail(ErrorCode::kInvalidArgument,
                "a share of the attention (p0.9) needs a policy that looks at attention, not " +
                    std::string(policy_info(resolved.lazy).name));
  }
  resolved.stages = std::move(*stages);
  resolved.choice.policy = policy_info(resolved.lazy).name;
  resolved.choice.attention_mass = *resolved.lazy.attention_mass;
  return resolved;
}

}  // namespace lazyfill
