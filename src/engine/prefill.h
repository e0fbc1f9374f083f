// Prompts that are computed together, side by side: one step, which is put aside and taken up again.
#pragma once

#include <memory>
#include <vector>

#include "engine/prefill_order.h"
#include "engine/scheduled.h"
#include "engine/step.h"

namespace lazyfill {

class Prefill {
 public:
  // Of admitted requests, with tokens that are not computed yet. pad: rows that nobody wants make each as
  // long as the longest.
  Prefill(const Model& model, std::vector<std::unique_ptr<Scheduled>> members, bool pad);

  // False: put aside.
  bool advance(Executor::Impl& executor, FunctionRef<bool()> keep_going);

  // Once it is done, what became of each.
  size_t size() const { return members_.size(); }
  bool has(size_t i) const { return members_[i] != nullptr; }  // not released yet
  Scheduled& member(size_t i) { return *members_[i]; }
  SequenceStep& step_of(size_t i) { return steps_[i]; }
  std::unique_ptr<Scheduled> release(size_t i) { return std::move(members_[i]); }

  // Nobody wants the rest: the members' caches are as they were before.
  void abandon() { step_.reset(); }

  BegunPrefill state() const;
  size_t n_tokens() const { return n_tokens_; }

 private:
  void pad_to_longest(const Model& model);

  std::vector<std::unique_ptr<Scheduled>> members_;
  std::vector<std::unique_ptr<SequenceCache>> pad_caches_;
  std::vector<float> pad_logits_;
  std::vector<int32_t> pad_tokens_;
  std::vector<SequenceStep> steps_;  // of the members, and behind them of what pads them
  std::unique_ptr<Step> step_;
  size_t n_tokens_ = 0;
  double fraction_ = 0;  // of the work that is done
};

}  // namespace lazyfill
