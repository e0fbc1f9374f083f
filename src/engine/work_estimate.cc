#include "engine/work_estimate.h"

#include <algorithm>

#include "pruning/schedule.h"

namespace lazyfill {

std::vector<double> estimate_work(const ModelConfig& config, std::span<const ScheduleStage> schedule,
                                  size_t n_rows, size_t n_candidates) {
  const auto d_model = static_cast<double>(config.d_model);
  const auto q_dim = static_cast<double>(config.q_dim());
  const auto n_experts = static_cast<double>(std::max<size_t>(config.n_experts_used, 1));
  const double projection = 2 * d_model * (q_dim + 2 * static_cast<double>(config.kv_dim()));
  const double rest = 2 * d_model * (q_dim + 3 * static_cast<double>(config.d_ff) * n_experts);
  auto rows = static_cast<double>(n_rows);
  auto candidates = static_cast<double>(n_candidates);
  size_t stage = 0;
  std::vector<double> work(config.n_layers);
  for (size_t layer = 0; layer < config.n_layers; ++layer) {
    const double seen = candidates - rows / 2;
    work[layer] = rows * projection;
    if (stage < schedule.size() && schedule[stage].layer == layer) {
      const auto kept = static_cast<double>(kept_count(schedule[stage], static_cast<size_t>(candidates)));
      rows *= kept / candidates;
      candidates = kept;
      ++stage;
    }
    work[layer] += rows * (rest + 4 * q_dim * seen);
  }
  return work;
}

}  // namespace lazyfill
