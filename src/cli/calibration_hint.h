// What `run` says once of a model that nobody has calibrated.
#pragma once

#include <string>

#include "lazyfill/types.h"

namespace lazyfill::cli {

// The sentence; empty where there is nothing to say: the schedule was given or a preset's, the prompt was too
// short to be pruned, or it was said before. That it was said is remembered in `folder`, by the model's
// fingerprint; where it cannot be, nothing is said. model: as the person named it, or empty.
std::string calibration_hint(const LazyChoice& choice, const std::string& fingerprint,
                             const std::string& model, const std::string& folder);

}  // namespace lazyfill::cli
