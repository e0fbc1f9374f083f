// How a step ends: with logits, or without.
#include <algorithm>
#include <cmath>
#include <utility>

#include "engine/logits.h"
#include "engine/sequence_pass.h"
#include "engine/step.h"
#include "engine/step_errors.h"

namespace lazyfill {
namespace {

// Logits of several sequences at a time: what the weights are read once for.
constexpr size_t kLogitRows = 96;
constexpr size_t kMostLogits = size_t{1} << 24;  // 64 MiB

}  // namespace

void Step::give_logits(Workspace& workspace) {
  const size_t most = std::clamp<size_t>(kMostLogits / config_.n_vocab, 1, kLogitRows);
  std::vector<size_t> batch;  // sequences
  size_t n_rows = 0;
  const auto compute_batch = [&] {
    logits_of(batch, n_rows, workspace);
    batch.clear();
    n_rows = 0;
  };
  for (size_t s = 0; s < sequences_.size(); ++s) {
    if (passes_[s] == nullptr) continue;
    if (n_rows > 0 && n_rows + sequences_[s].n_logit_rows > most) compute_batch();
    batch.push_back(s);
    n_rows += sequences_[s].n_logit_rows;
  }
  if (n_rows > 0) compute_batch();
}

// The newest n_logit_rows rows of each of these sequences, n_rows in all.
void Step::logits_of(std::span<const size_t> batch, size_t n_rows, Workspace& workspace) {
  const size_t n_vocab = config_.n_vocab;
  workspace.top_hidden.ensure(n_rows * config_.d_model);
  float* to = workspace.top_hidden.data();
  for (size_t s : batch) {
    for (size_t i = rows_.n_of(s) - sequences_[s].n_logit_rows; i < rows_.n_of(s); ++i)
      to = std::copy_n(rows_.hidden_of(rows_.row_of(s, i)), config_.d_model, to);
  }
  float* out = sequences_[batch[0]].logits.data();
  if (batch.size() > 1) {
    workspace.logits.ensure(n_rows * n_vocab);
    out = workspace.logits.data();
  }
  model_.logits(workspace.top_hidden.data(), n_rows, out, workspace.scratch, Team::all(workspace.pool));
  for (size_t s : batch) {
    const size_t n = sequences_[s].n_logit_rows * n_vocab;
    if (batch.size() > 1) std::copy_n(out, n, sequences_[s].logits.data());
    out += n;
    finish(s);
  }
}

void Step::finish(size_t s) {
  SequenceStep& sequence = sequences_[s];
  const size_t n_checked = sequence.parents.empty() ? sequence.n_logit_rows : 1;
  if (!all_finite(sequence.logits.first(n_checked * config_.n_vocab))) return roll_back(s, no_numbers());
  if (!rows_are_finite(s)) return roll_back(s, no_numbers());
  passes_[s]->finish_trace();
  sequence.saved_for_revival = passes_[s]->saved_for_revival();
  passes_[s] = nullptr;
  if (sequence.commits_itself) return;
  sequence.cache.save_for_revival(sequence.saved_for_revival);
  sequence.cache.commit_step(sequence.tokens.size());
}

// Products of codes make ordinary numbers of a row that is none, so that the newest row's logits may not show
// what another one has lost. A draft of that kind concerns nobody before it is taken: its logits tell.
bool Step::rows_are_finite(size_t s) {
  const RowRange body = rows_.body_of(s);
  const RowRange top = rows_.top_of(s);
  const auto finite = [&](size_t begin, size_t n) {
    return n == 0 || all_finite({rows_.hidden_of(begin), n * config_.d_model});
  };
  const bool has_drafts = !sequences_[s].parents.empty();
  for (size_t i = 1; has_drafts && i < top.size(); ++i)
    if (!finite(top.begin + i, 1)) sequences_[s].logits[i * config_.n_vocab] = NAN;
  return finite(body.begin, body.size()) && finite(top.begin, has_drafts ? 1 : top.size());
}

void Step::end_stopped() {
  for (size_t s = 0; s < sequences_.size(); ++s) {
    if (passes_[s] == nullptr || !sequences_[s].stop.stop_requested()) continue;
    leave_off(s);
    passes_[s] = nullptr;
    any_ended_ = true;
    sequences_[s].result = fail(ErrorCode::kCancelled, "stopped before the first token");
  }
}

// Nobody waits for the rest: the layers that are finished stay where that is wanted.
void Step::leave_off(size_t s) {
  SequenceStep& sequence = sequences_[s];
  const auto layer = passes_[s] != nullptr ? passes_[s]->finished_layer() : std::nullopt;
  if (layer && passes_[s]->entered_is_finite()) {
    sequence.cache.commit_step_up_to(sequence.tokens.size(), *layer);
  } else {
    sequence.cache.rollback_step();
  }
}

// A sequence ends without a commit; well, if there is no error.
void Step::roll_back(size_t s, Result<void> result) {
  passes_[s] = nullptr;
  any_ended_ = true;
  sequences_[s].cache.rollback_step();
  sequences_[s].result = std::move(result);
}

}  // namespace lazyfill
