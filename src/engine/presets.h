// Where presets are looked for, and what "auto" makes of one.
#pragma once

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

// The first of: MODEL.gguf.preset.json beside the model, FINGERPRINT.json in `user_folder` (empty: none),
// those that lazyfill brings. A file beside the model that is for another model is passed over.
Result<std::optional<FoundPreset>> find_preset(const std::string& fingerprint, const std::string& model_path,
                                               const std::string& user_folder);

struct ResolvedLazy {
  std::vector<ScheduleStage> stages;  // empty: dense
  LazyOptions lazy;                   // with the policy that is used
  LazyChoice choice;
};

// The stages and the policy of a step that brings a session to n_tokens tokens. preset may be null.
Result<ResolvedLazy> resolve_lazy(const ModelConfig& config, const FoundPreset* preset,
                                  const LazyOptions& lazy, size_t n_tokens);

}  // namespace lazyfill
