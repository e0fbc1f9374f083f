// The fastest schedule, with dense or sparse attention, whose loss is within a target. A cost model says how
// long a schedule takes, for free; the loss has to be measured and is dear. So every candidate is made to be
// a little faster than the best so far, and is measured once: is its loss still within the target?
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "lazyfill/error.h"
#include "lazyfill/types.h"
#include "pruning/cost_model.h"

namespace lazyfill {

struct ScheduleCandidate {
  std::vector<ScheduleStage> stages;  // none: no pruning
  Policy policy = Policy::kFocus;
  double predicted_ms = 0;
  double attention_mass = 1;
};

struct SearchTask {
  std::vector<size_t> layers;         // that can prune, ascending, not empty
  std::vector<size_t> layer_windows;  // [n_layers], 0: none
  size_t n_tokens = 0;                // of the prompt whose time is to be short
  CostModel cost;
  std::vector<Policy> policies;  // to choose from; the first one begins; not empty
  // To choose from beside 1: each less than the one before, and among the savings of `cost`.
  std::vector<double> attention_masses;
  size_t max_measurements = 200;
  // For a dozen measurements: begins with the shape that most models came to, at the speed that it mostly
  // bears, and halves the way between what held the target and what did not.
  bool quick = false;
};

struct SearchResult {
  ScheduleCandidate best;  // dense in all: nothing that is faster holds the target
  double dense_ms = 0;     // predicted
  size_t n_measurements = 0;
};

// Whether the candidate's loss is within the target. kCancelled ends the search with what it has.
using LossTest = std::function<Result<bool>(const ScheduleCandidate&)>;

Result<SearchResult> search_schedule(const SearchTask& task, const LossTest& is_within_target);

// The candidate with all its keep fractions taken to one power, so that its predicted time is target_ms or
// (where two decimals round so) a little less. Empty: no power reaches it; without stages there is nothing to
// scale, and only a candidate that is fast enough as it is comes back.
std::optional<ScheduleCandidate> scaled_to(const SearchTask& task, ScheduleCandidate candidate,
                                           double target_ms);

// "9:0.5,15:0.5"; "off" without stages.
std::string format_schedule(std::span<const ScheduleStage> stages);

}  // namespace lazyfill
