// Schedules that calibration found for one model, as files.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lazyfill/error.h"
#include "lazyfill/types.h"

namespace lazyfill {

// A model may have two.
enum class PresetKind {
  kAuto,  // careful
  kFast,  // loses more
};
inline constexpr PresetKind kPresetKinds[] = {PresetKind::kAuto, PresetKind::kFast};

// What --lazy calls it.
std::string_view preset_name(PresetKind kind);
// The preset that a schedule stands for; empty when it says itself what is done.
std::optional<PresetKind> preset_named(std::string_view schedule);

struct Preset {
  PresetKind kind = PresetKind::kAuto;
  std::string fingerprint;  // of the model; see ModelInfo
  std::string model;        // its name, for people
  LazyOptions lazy;         // schedule, policy with its options, sparse attention; nothing else is kept
  size_t min_tokens = 0;    // shorter prompts are prefilled dense
  double max_kl = 0;        // the target
  double min_agreement = 0;
  double kl = 0;  // what was measured over the calibration texts
  double agreement = 0;
  double speed_up = 0;       // of the prefill, against dense
  size_t prompt_tokens = 0;  // of the prompt that was timed; 0: not known
};

std::string preset_to_json(const Preset& preset);
// `name` is the file, for the error sentence: no JSON, a field that is missing or out of range.
Result<Preset> preset_from_json(std::string_view json, std::string_view name);

// The presets that lazyfill brings; each a JSON text.
std::vector<std::string_view> shipped_presets();

}  // namespace lazyfill
