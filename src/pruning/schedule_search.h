// The fastest schedule whose loss is within a target. A cost model says how long a schedule takes, for free;
// the loss has to be measured and is dear. So every candidate is made to be a little faster than the best so
// far, and is measured once: is its loss still within the target?
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "lazyfill/error.h"
#include "lazyfill/types.h"
#include "pruning/cost_model.h"

namespace lazyfill {

struct ScheduleCandidate {
  std::vector<ScheduleStage> stages;
  Policy policy = Policy::kFocus;
  double predicted_ms = 0;
};

struct SearchTask {
  std::vector<size_t> layers;         // that can prune, ascending, not empty
  std::vector<size_t> layer_windows;  // [n_layers], 0: none
  size_t n_tokens = 0;                // of a typical prompt
  CostModel cost;
  std::vector<Policy> policies;  // to choose from; the first one begins; not empty
  size_t max_measurements = 200;
};

struct SearchResult {
  ScheduleCandidate best;  // no stages: nothing that is faster than dense holds the target
  double dense_ms = 0;     // predicted
  size_t n_measurements = 0;
};

// Whether the candidate's loss is within the target. kCancelled ends the search with what it has.
using LossTest = std::function<Result<bool>(const ScheduleCandidate&)>;

Result<SearchResult> search_schedule(const SearchTask& task, const LossTest& is_within_target);

// The candidate with all its keep fractions taken to one power, so that its predicted time is target_ms or
// (where two decimals round so) a little less. Empty stages: no power reaches it.
ScheduleCandidate scaled_to(const SearchTask& task, ScheduleCandidate candidate, double target_ms);

// "9:0.5,15:0.5"; "off" without stages.
std::string format_schedule(std::span<const ScheduleStage> stages);

}  // namespace lazyfill
