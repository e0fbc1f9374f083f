// Where presets are looked for, and what "auto" and "fast" make of them.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "model/config.h"
#include "pruning/preset.h"

namespace lazyfill {

struct FoundPreset {
  Preset preset;
  std::string place;  // "beside the model", "user", "shipped"
};

// MODEL.gguf.preset.json and FINGERPRINT.json; for kFast MODEL.gguf.fast.preset.json and
// FINGERPRINT.fast.json.
std::string preset_path_beside(const std::string& model_path, PresetKind kind);
std::string preset_path_in(const std::string& folder, const std::string& fingerprint, PresetKind kind);

// The first of: the file beside the model, the one in `user_folder` (empty: none), those that lazyfill
// brings. A file beside the model that is for another model is passed over. Of a file the name says which
// kind it is.
Result<std::optional<FoundPreset>> find_preset(const std::string& fingerprint, const std::string& model_path,
                                               const std::string& user_folder, PresetKind kind);

// What was found of each kind for one model. A file that cannot be used is an error for those only who want
// it.
class ModelPresets {
 public:
  ModelPresets() = default;
  ModelPresets(const std::string& fingerprint, const std::string& model_path, const std::string& user_folder);

  // The preset that a schedule stands for; where there is no fast one, the careful one. Null: none, or the
  // schedule says itself what is done.
  Result<const FoundPreset*> for_schedule(std::string_view schedule) const;

 private:
  std::array<Result<std::optional<FoundPreset>>, std::size(kPresetKinds)> found_;
};

struct ResolvedLazy {
  std::vector<ScheduleStage> stages;  // empty: dense
  LazyOptions lazy;                   // with the policy and the sparse attention that are used
  LazyChoice choice;
};

// The stages and the policy of a step that brings a session to n_tokens tokens. preset: of for_schedule().
Result<ResolvedLazy> resolve_lazy(const ModelConfig& config, const FoundPreset* preset,
                                  const LazyOptions& lazy, size_t n_tokens);

}  // namespace lazyfill
