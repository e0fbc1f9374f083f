#include "cli/text_loss.h"

#include <algorithm>
#include <numeric>

namespace lazyfill::cli {

LossJudge::LossJudge(LossTarget target, size_t n_texts)
    : target_(target), order_(n_texts), last_kl_(n_texts, 0) {
  std::iota(order_.begin(), order_.end(), size_t{0});
}

Result<LossJudge::Verdict> LossJudge::judge(const MeasureText& measure) {
  const auto n_texts = static_cast<double>(order_.size());
  // A sum of shares of tokens need not be exact.
  const double most_kl = target_.max_kl * n_texts + 1e-9;
  const double most_disagreement = (1 - target_.min_agreement) * n_texts + 1e-9;
  double kl = 0;
  double disagreement = 0;
  Verdict verdict;
  verdict.within = true;
  for (size_t text : order_) {
    auto loss = measure(text);
    if (!loss) return tl::unexpected(loss.error());
    ++verdict.n_measured;
    last_kl_[text] = loss->kl;
    kl += loss->kl;
    disagreement += 1 - loss->agreement;
    verdict.within = kl <= most_kl && disagreement <= most_disagreement;
    if (!verdict.within) break;
  }
  const auto n_measured = static_cast<double>(std::max<size_t>(verdict.n_measured, 1));
  verdict.mean = {kl / n_measured, 1 - disagreement / n_measured};
  std::stable_sort(order_.begin(), order_.end(),
                   [&](size_t a, size_t b) { return last_kl_[a] > last_kl_[b]; });
  return verdict;
}

}  // namespace lazyfill::cli
