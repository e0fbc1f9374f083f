#include "engine/prefill.h"

#include <algorithm>
#include <utility>

namespace lazyfill {

Prefill::Prefill(const Model& model, std::vector<std::unique_ptr<Scheduled>> members, bool pad)
    : members_(std::move(members)) {
  steps_.reserve(2 * members_.size());
  for (const auto& member : members_) {
    Session::Impl& session = *member->session;
    const std::stop_token& stop = member->request.callbacks.stop;
    steps_.push_back(member->is_in_dense_part() ? session.begin_dense_step(member->n_dense, stop)
                                                : session.begin_step(session.next_plan(), stop));
    n_tokens_ += steps_.back().tokens.size();
    const bool is_dense_part = member->is_in_dense_part();
    steps_.back().keeps_progress = member->prefix_plan && !is_dense_part;
  }
  if (pad) pad_to_longest(model);
  step_ = std::make_unique<Step>(model, steps_);
}

void Prefill::pad_to_longest(const Model& model) {
  size_t longest = 0;
  for (const SequenceStep& step : steps_) longest = std::max(longest, step.tokens.size());
  pad_tokens_.assign(longest, 0);
  pad_logits_.resize(model.config.n_vocab);
  const size_t n_members = members_.size();
  for (size_t i = 0; i < n_members; ++i) {
    const size_t n = longest - steps_[i].tokens.size();
    if (n == 0) continue;
    SequenceCache::Shape shape = members_[i]->session->cache.shape();
    shape.capacity_tokens = n;
    pad_caches_.push_back(std::make_unique<SequenceCache>(shape));
    steps_.push_back({.cache = *pad_caches_.back(),
                      .tokens = std::span(pad_tokens_).first(n),
                      .plan = {},
                      .logits = pad_logits_});
  }
}

bool Prefill::advance(Executor::Impl& executor, FunctionRef<bool()> keep_going) {
  const auto ask = [&](const Progress& progress) {
    fraction_ = progress.fraction;
    for (const auto& member : members_) {
      if (!member->ended && member->request.callbacks.on_progress)
        member->request.callbacks.on_progress(progress);
    }
    return keep_going();
  };
  return executor.advance(*step_, ask);
}

BegunPrefill Prefill::state() const {
  BegunPrefill state{members_[0]->request.priority, static_cast<double>(n_tokens_) * (1 - fraction_),
                     members_[0]->number};
  for (const auto& member : members_) state.number = std::min(state.number, member->number);
  return state;
}

}  // namespace lazyfill
