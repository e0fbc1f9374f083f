#include "engine/drafting.h"

#include <algorithm>
#include <new>
#include <numeric>
#include <utility>

#include "engine/logits.h"
#include "lazyfill/policies.h"

namespace lazyfill {
namespace {

// Whatever they cost.
constexpr size_t kMostRows = 81;
// Where their number follows from their cost.
constexpr size_t kMostPayingRows = 32;

}  // namespace

size_t Drafting::most_rows(const GenerateOptions& options) {
  if (options.draft == Draft::kNone) return 1;
  return options.draft_tokens > 0 ? std::min(options.draft_tokens + 1, kMostRows) : kMostPayingRows;
}

Drafting::Drafting(Session::Impl& session, const GenerateOptions& options)
    : s_(session),
      n_asked_(std::min(options.draft_tokens, kMostRows - 1)),
      is_apart_(!session.plan.stages.empty() && policy_info(session.plan.lazy).leaves == Leaves::kRows),
      memory_(is_apart_ ? std::make_shared<DraftMemory>(session.engine.info.n_tokens)
                        : session.executor->drafts),
      tree_(session.tokens.back()),
      taken_{0},
      n_learned_(session.tokens.size()) {
  if (options.draft != Draft::kLookup) drafters_.push_back(make_recycler(memory_));
  if (options.draft != Draft::kRecycle) drafters_.push_back(make_lookup());
  for (const auto& drafter : drafters_) drafter->read(session.tokens);
}

SequenceStep Drafting::begin_step(std::stop_token stop, size_t n_wanted, size_t n_sequences) {
  const bool chooses = policy_info(s_.plan.lazy).leaves == Leaves::kRows;
  SequenceStep step = s_.begin_step(
      chooses ? s_.next_plan() : Plan{.lazy = &s_.plan.lazy, .prompt_end = s_.prompt_end}, std::move(stop));
  ++report_.n_steps;
  tree_ = DraftTree(s_.tokens.back());
  taken_.assign(1, 0);
  const size_t n_free = s_.cache.capacity_tokens() - s_.cache.n_tokens() - 1;
  const size_t n_most = n_asked_ > 0 ? n_asked_ : kMostPayingRows - 1;
  try {
    propose({std::min({n_most, n_wanted, n_free}), n_wanted - 1}, n_sequences);
  } catch (const std::bad_alloc&) {
  }
  if (!has_drafts()) return step;
  report_.n_proposed += tree_.n_drafts();
  step.tokens = tree_.tokens;
  step.parents = tree_.parents;
  step.n_logit_rows = tree_.tokens.size();
  step.logits = {logits_.data(), step.n_logit_rows * s_.engine.model.config.n_vocab};
  step.commits_itself = true;
  return step;
}

void Drafting::propose(const DraftLimits& limits, size_t n_sequences) {
  DraftTree tree = proposal(limits, n_sequences);
  logits_.ensure(tree.tokens.size() * s_.engine.model.config.n_vocab);
  taken_.reserve(tree.tokens.size());
  tree_ = std::move(tree);
}

// Of each drafter what pays, and of these what promises most.
DraftTree Drafting::proposal(const DraftLimits& limits, size_t n_sequences) {
  const RowCosts costs = memory_->costs();
  // Of company it is taken that it drafts as much.
  const size_t n_beside = is_apart_ ? 1 : n_sequences;
  const auto cost = [&](size_t n_drafts) { return costs.of(n_beside * (n_drafts + 1)) / costs.of(n_beside); };
  DraftTree best(s_.tokens.back());
  double best_gain = 0;
  for (const auto& drafter : drafters_) {
    DraftTree all = drafter->propose(s_.tokens);
    DraftPromise promise;
    if (n_asked_ > 0) {
      all = likeliest(all, limits);
      promise = {all.n_drafts(), std::accumulate(all.chances.begin(), all.chances.end(), 0.0)};
    } else {
      promise = best_promise(all, limits, cost);
      all = likeliest(all, {promise.n_drafts, limits.depth});
    }
    if (promise.gain <= best_gain) continue;
    best_gain = promise.gain;
    best = std::move(all);
  }
  return best;
}

void Drafting::took(const SequenceStep& step) {
  if (!has_drafts()) return;
  saved_for_revival_ = step.saved_for_revival;
  std::ranges::copy(logits_of(0), s_.logits->begin());
}

std::span<const float> Drafting::logits_of(size_t row) const {
  if (!has_drafts()) return *s_.logits;
  const size_t n_vocab = s_.engine.model.config.n_vocab;
  return {logits_.data() + row * n_vocab, n_vocab};
}

bool Drafting::follow(int32_t token) {
  const size_t row = tree_.child(taken_.back(), token);
  // One that is no numbers is computed again, as a newest token, whose step then fails.
  if (row == 0 || !all_finite(logits_of(row))) return false;
  taken_.push_back(row);
  std::ranges::copy(logits_of(row), s_.logits->begin());
  s_.has_logits = true;
  return true;
}

void Drafting::commit() {
  if (has_drafts()) {
    s_.cache.commit_step(tree_.tokens.size(), taken_);
    s_.cache.save_for_revival(saved_for_revival_);
    report_.n_accepted += taken_.size() - 1;
  }
  try {
    learn();
  } catch (const std::bad_alloc&) {  // then they know a little less
  }
}

void Drafting::roll_back() {
  if (has_drafts()) s_.cache.rollback_step();
}

void Drafting::learn() {
  while (n_learned_ < s_.tokens.size()) {
    ++n_learned_;
    for (const auto& drafter : drafters_) drafter->chose(std::span(s_.tokens).first(n_learned_));
  }
  for (const auto& drafter : drafters_) {
    if (!drafter->wants_likeliest()) continue;
    for (size_t row = 0; row < tree_.tokens.size(); ++row) {
      const auto logits = logits_of(row).first(s_.engine.info.n_tokens);
      if (all_finite(logits)) drafter->saw(tree_.tokens[row], highest(logits, drafter->wants_likeliest()));
    }
  }
}

}  // namespace lazyfill
