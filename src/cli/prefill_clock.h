// Times prefills of one text, for calibration: the cost model's numbers, and the speed-up of what was found.
#pragma once

#include <cstdint>
#include <functional>
#include <stop_token>
#include <vector>

#include "lazyfill/engine.h"
#include "pruning/cost_model.h"

namespace lazyfill::cli {

class PrefillClock {
 public:
  // tokens: as long as the prompts whose time matters, 16 at least. on_prefill is called before each one.
  PrefillClock(const Executor& executor, std::vector<int32_t> tokens, std::stop_token stop,
               std::function<void()> on_prefill);

  // Prefills of several lengths up to that of the text, one with a schedule, and one with each of the
  // `attention_masses`, in turn; of each the fastest of three rounds counts, of fewer where they would take
  // longer than max_seconds; one prefill before them does not count, for it waits for pages of memory. A mass
  // that saves hardly more than a larger one has no part in the model.
  Result<CostModel> fit(const std::vector<double>& attention_masses, double max_seconds) const;

  // Of the whole text against dense, both in turn: the fastest of three rounds, or of as many as fit into
  // max_seconds.
  Result<double> speed_up(const LazyOptions& lazy, double max_seconds) const;

 private:
  struct Case {
    size_t n_tokens;
    LazyOptions lazy;
    double best_ms = 0;
  };
  Result<void> measure(std::vector<Case>& cases, double max_seconds) const;
  Result<double> prefill_ms(size_t n_tokens, const LazyOptions& lazy) const;
  Result<TimedPrefill> timed(const Case& measured) const;

  const Executor& executor_;
  std::vector<int32_t> tokens_;
  std::stop_token stop_;
  std::function<void()> on_prefill_;
};

}  // namespace lazyfill::cli
