#include "pruning/preset.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/quoted.h"
#include "lazyfill/policies.h"

namespace lazyfill {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::array<std::string_view, 2> kPresetNames = {"auto", "fast"};
constexpr std::array<std::string_view, 3> kPoolings = {"none", "avg", "max"};
constexpr double kMostTokens = 1 << 24;
constexpr size_t kMostPathBytes = 4096;

// Reads fields of one object; remembers the first that is wrong.
class Fields {
 public:
  explicit Fields(const Json& object) : object_(object) {}

  std::string text(const char* key) {
    const auto found = object_.find(key);
    if (found == object_.end() || !found->is_string()) return refuse(key), "";
    return found->get<std::string>();
  }
  double real(const char* key, double least, double most) {
    const auto found = object_.find(key);
    if (found == object_.end() || !found->is_number()) return refuse(key), least;
    const auto value = found->get<double>();
    if (!(value >= least && value <= most)) refuse(key);
    return value;
  }
  // Of a file that may be older than the field.
  double real_or(const char* key, double least, double most, double absent) {
    return object_.contains(key) ? real(key, least, most) : absent;
  }
  size_t count(const char* key, double least, double most) {
    const double value = real(key, least, most);
    if (value != std::floor(value)) refuse(key);
    return wrong_.empty() ? static_cast<size_t>(value) : 0;
  }
  Revival revival(const char* key, double most) {
    const auto found = object_.find(key);
    const std::string word = found != object_.end() && found->is_string() ? found->get<std::string>() : "";
    if (word == "all") return Revival::all();
    if (word == "auto") return Revival::automatic();
    return Revival::up_to(count(key, 0, most));
  }
  bool has(const char* key) const { return object_.contains(key); }
  void refuse(const char* key) {
    if (wrong_.empty()) wrong_ = key;
  }
  const std::string& wrong() const { return wrong_; }

 private:
  const Json& object_;
  std::string wrong_;
};

LazyOptions read_lazy(Fields& fields) {
  LazyOptions lazy;
  lazy.schedule = fields.text("schedule");
  if (preset_named(lazy.schedule)) fields.refuse("schedule");
  if (const auto policy = policy_from_name(fields.text("policy"))) {
    lazy.policy = *policy;
  } else {
    fields.refuse("policy");
  }
  const std::string pooling = fields.text("pooling");
  const auto* const known = std::find(kPoolings.begin(), kPoolings.end(), pooling);
  if (known == kPoolings.end()) {
    fields.refuse("pooling");
  } else {
    lazy.pooling = static_cast<Pooling>(known - kPoolings.begin());
  }
  lazy.window_rows = fields.count("window_rows", 1, 4096);
  lazy.pooling_width = fields.count("pooling_width", 1, 4095);
  lazy.score_layers = fields.count("score_layers", 1, 4096);
  // Presets of older versions bring all back, and know no memory of votes and no sparse attention.
  lazy.revival = fields.has("revive") ? fields.revival("revive", kMostTokens) : Revival::all();
  lazy.revive_margin = static_cast<float>(fields.real_or("revive_margin", 0, 1e6, 0));
  lazy.vote_memory = static_cast<float>(fields.real_or("vote_memory", 0, 0.999, 0));
  lazy.attention_mass = static_cast<float>(fields.real_or("sparse_attention", 0.01, 1, 1));
  return lazy;
}

// A preset without the field is a careful one, as all of them once were.
PresetKind read_kind(Fields& fields) {
  if (!fields.has("preset")) return PresetKind::kAuto;
  const auto kind = preset_named(fields.text("preset"));
  if (!kind) fields.refuse("preset");
  return kind.value_or(PresetKind::kAuto);
}

Json revival_json(const Revival& revival) {
  switch (revival.mode) {
    case Revival::Mode::kDefault:  // a preset says what it was measured with; before there was a limit: all
    case Revival::Mode::kAll:
      return "all";
    case Revival::Mode::kAuto:
      return "auto";
    case Revival::Mode::kAtMost:
      break;
  }
  return revival.at_most;
}

// As the person wrote it: 0.95, where the float is 0.949999988079071.
double short_decimal(float value) {
  return std::round(static_cast<double>(value) * 1e6) / 1e6;
}

}  // namespace

std::string_view preset_name(PresetKind kind) {
  return kPresetNames[static_cast<size_t>(kind)];
}

std::optional<PresetKind> preset_named(std::string_view schedule) {
  for (PresetKind kind : kPresetKinds) {
    if (schedule == preset_name(kind)) return kind;
  }
  return std::nullopt;
}

std::string preset_to_json(const Preset& preset) {
  const LazyOptions& lazy = preset.lazy;
  const Json json = {{"version", 1},
                     {"preset", preset_name(preset.kind)},
                     {"fingerprint", preset.fingerprint},
                     {"model", preset.model},
                     {"schedule", lazy.schedule},
                     {"policy", policy_info(lazy).name},
                     {"window_rows", lazy.window_rows},
                     {"pooling", kPoolings[static_cast<size_t>(lazy.pooling)]},
                     {"pooling_width", lazy.pooling_width},
                     {"score_layers", lazy.score_layers},
                     {"vote_memory", short_decimal(lazy.vote_memory)},
                     {"revive", revival_json(lazy.revival)},
                     {"revive_margin", short_decimal(lazy.revive_margin.value_or(0))},
                     {"sparse_attention", short_decimal(lazy.attention_mass.value_or(1))},
                     {"min_tokens", preset.min_tokens},
                     {"target", {{"max_kl", preset.max_kl}, {"min_agreement", preset.min_agreement}}},
                     {"measured",
                      {{"kl", preset.kl},
                       {"agreement", preset.agreement},
                       {"speed_up", preset.speed_up},
                       {"prompt_tokens", preset.prompt_tokens}}}};
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

Result<Preset> preset_from_json(std::string_view json, std::string_view name) {
  const auto refuse = [&](const std::string& why) {
    return fail(ErrorCode::kInvalidFile, "the preset " + quoted(name, kMostPathBytes) + " " + why +
                                             "; remove it or calibrate again (lazyfill calibrate)");
  };
  const Json object = Json::parse(json, nullptr, false);
  if (object.is_discarded() || !object.is_object()) return refuse("is no JSON object");
  Fields fields(object);
  if (fields.count("version", 1, 1e9) != 1) return refuse("is of a version that this program does not know");
  Preset preset;
  preset.kind = read_kind(fields);
  preset.fingerprint = fields.text("fingerprint");
  preset.model = fields.text("model");
  preset.lazy = read_lazy(fields);
  preset.min_tokens = fields.count("min_tokens", 0, kMostTokens);
  const Json empty = Json::object();
  const auto part = [&](const char* key) -> const Json& {
    const auto found = object.find(key);
    return found != object.end() && found->is_object() ? *found : empty;
  };
  Fields target(part("target"));
  preset.max_kl = target.real("max_kl", 0, 1e6);
  preset.min_agreement = target.real("min_agreement", 0, 1);
  Fields measured(part("measured"));
  preset.kl = measured.real("kl", 0, 1e6);
  preset.agreement = measured.real("agreement", 0, 1);
  preset.speed_up = measured.real("speed_up", 0, 1e6);
  if (measured.has("prompt_tokens")) preset.prompt_tokens = measured.count("prompt_tokens", 0, kMostTokens);
  for (const Fields* read : {&fields, &target, &measured}) {
    if (!read->wrong().empty()) return refuse("has no usable field \"" + read->wrong() + "\"");
  }
  return preset;
}

}  // namespace lazyfill
