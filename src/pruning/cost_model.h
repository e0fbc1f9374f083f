// What a prefill costs on this machine: so much a row and layer, so much a row and column that it sees, and a
// fixed part. Three numbers, fitted from a few measured prefills, predict every schedule's time; with sparse
// attention, another one for each share of the attention that is kept.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "lazyfill/error.h"
#include "lazyfill/types.h"

namespace lazyfill {

struct PrefillWork {
  double row_layers = 0;   // rows carried through a whole layer, all layers together
  double row_columns = 0;  // (row, column) pairs that attention looks at, all layers together
  // Those of the pairs that sparse attention may leave out: in layers that all tokens enter, and in those
  // above a stage.
  double sparse_row_columns = 0;
  double thinned_row_columns = 0;
};

// Of a prompt of n_tokens on an empty session. layer_windows: [n_layers] sliding window of each layer, 0:
// none. A row that a stage drops counts as a small part of one at that stage's layer, where it is only
// projected. The last layer computes one row and is left out of row_layers.
PrefillWork prefill_work(size_t n_tokens, std::span<const ScheduleStage> schedule,
                         std::span<const size_t> layer_windows);

struct TimedPrefill {
  PrefillWork work;
  double ms = 0;
};

// The share that sparse attention saves of the time of the pairs that it may leave out, the choice paid.
struct SparseSaving {
  double attention_mass = 1;
  double share = 0;
};

struct CostModel {
  double fixed_ms = 0;
  double row_layer_ms = 0;
  double row_column_ms = 0;
  std::vector<SparseSaving> savings;  // of every mass that was measured
  // Above a stage, times the share: those who were kept are looked at more than others.
  double thinned = 1;

  // attention_mass: 1, or that of a saving; of any other nothing is known, and it counts as dense.
  double predict_ms(const PrefillWork& work, double attention_mass = 1) const;
  double saved_share(double attention_mass) const;
};

// Least squares of the relative errors, no part below zero; without savings. Errors: fewer than three
// prefills, or times that are not above zero.
Result<CostModel> fit_cost_model(std::span<const TimedPrefill> prefills);

// SparseSaving::share, 0 to 1, from one prefill without a schedule, `dense`, and the time of the same with
// sparse attention. Only the ratio of both counts, which is surer than either when they are timed side by
// side.
double fit_saved_share(const CostModel& model, const TimedPrefill& dense, double sparse_ms);
// CostModel::thinned, 0 to 1, from a prefill with a schedule, without and with sparse attention of a mass
// that is among the savings.
double fit_thinned(const CostModel& model, const TimedPrefill& pruned, double attention_mass,
                   double sparse_ms);

}  // namespace lazyfill
