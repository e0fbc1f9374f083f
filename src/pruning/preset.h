// A schedule that calibration found for one model, as a file.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "lazyfill/error.h"
#include "lazyfill/types.h"

namespace lazyfill {

struct Preset {
  std::string fingerprint;  // of the model; see ModelInfo
  std::string model;        // its name, for people
  LazyOptions lazy;         // schedule "off" when nothing faster held the target
  size_t min_tokens = 0;    // shorter prompts are prefilled dense
  double max_kl = 0;        // the target
  double min_agreement = 0;
  double kl = 0;  // what was measured over the calibration texts
  double agreement = 0;
  double speed_up = 0;  // of the prefill, against dense
};

std::string preset_to_json(const Preset& preset);
// `name` is the file, for the error sentence: no JSON, a field that is missing or out of range.
Result<Preset> preset_from_json(std::string_view json, std::string_view name);

// What --policy calls them.
std::string_view policy_name(Policy policy);
Result<Policy> policy_from_name(std::string_view name);

// The presets that lazyfill brings; each a JSON text.
std::vector<std::string_view> shipped_presets();

}  // namespace lazyfill
