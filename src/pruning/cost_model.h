// What a prefill costs on this machine: so much a row and layer, so much a row and column that it sees, and a
// fixed part. Three numbers, fitted from a few measured prefills, predict every schedule's time.
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

struct CostModel {
  double fixed_ms = 0;
  double row_layer_ms = 0;
  double row_column_ms = 0;

  double predict_ms(const PrefillWork& work) const {
    return fixed_ms + row_layer_ms * work.row_layers + row_column_ms * work.row_columns;
  }
};

// Least squares of the relative errors, no part below zero. Errors: fewer than three prefills, or times that
// are not above zero.
Result<CostModel> fit_cost_model(std::span<const TimedPrefill> prefills);

}  // namespace lazyfill
