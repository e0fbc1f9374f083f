// How the work of a step is spread over the layers, for a progress bar.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "lazyfill/types.h"
#include "model/config.h"

namespace lazyfill {

// Work of each layer as rows times what a row costs there: [n_layers], in multiply-adds. n_rows of the
// n_candidates tokens are new. Revived rows, which nobody can foresee, are left out.
std::vector<double> estimate_work(const ModelConfig& config, std::span<const ScheduleStage> schedule,
                                  size_t n_rows, size_t n_candidates);

}  // namespace lazyfill
