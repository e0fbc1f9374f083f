// The loss of a schedule over several texts, and whether it is within a target, with as few runs as that
// takes.
#pragma once

#include <functional>
#include <vector>

#include "lazyfill/error.h"

namespace lazyfill::cli {

struct TextLoss {
  double kl = 0;         // mean over the tokens of one text, in nats
  double agreement = 0;  // share of them
};

struct LossTarget {
  double max_kl = 0;
  double min_agreement = 0;
};

// Measures the loss of text i.
using MeasureText = std::function<Result<TextLoss>(size_t text)>;

class LossJudge {
 public:
  LossJudge(LossTarget target, size_t n_texts);

  struct Verdict {
    bool within = false;
    TextLoss mean;  // over the texts that were measured: all of them when within
    size_t n_measured = 0;
  };
  // Mean over all texts against the target. Stops as soon as the rest cannot save the candidate; the texts
  // that lost most under earlier candidates come first.
  Result<Verdict> judge(const MeasureText& measure);

 private:
  LossTarget target_;
  std::vector<size_t> order_;    // of the texts
  std::vector<double> last_kl_;  // [n_texts]
};

}  // namespace lazyfill::cli
