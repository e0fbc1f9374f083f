#include "engine/step.h"

#include <algorithm>
#include <new>
#include <utility>

#include "engine/logits.h"
#include "engine/sequence_pass.h"
#include "engine/step_errors.h"

namespace lazyfill {
namespace {

tl::unexpected<Error> out_of_memory() {
  return fail(ErrorCode::kOutOfMemory,
              "not enough memory for a prompt of this length; shorten it or use fewer context tokens");
}

}  // namespace

Step::Step(const Model& model, std::span<SequenceStep> sequences)
    : model_(model),
      config_(model.config),
      sequences_(sequences),
      passes_(sequences.size()),
      rows_(model.config, sequences.size()),
      revived_(model.config, sequences.size()) {
  for (SequenceStep& sequence : sequences_) sequence.cache.begin_step();
}

Step::~Step() {
  for (size_t s = 0; s < sequences_.size(); ++s) {
    if (phase_ != Phase::kDone && (phase_ == Phase::kBegin || passes_[s] != nullptr)) leave_off(s);
  }
}

bool Step::advance(Workspace& workspace, FunctionRef<bool(const Progress&)> keep_going) {
  try {
    if (!compute(workspace, keep_going)) return false;
  } catch (const std::bad_alloc&) {
    for (size_t s = 0; s < sequences_.size(); ++s) {
      if (phase_ == Phase::kBegin || passes_[s] != nullptr) roll_back(s, out_of_memory());
    }
  }
  phase_ = Phase::kDone;
  return true;
}

bool Step::compute(Workspace& workspace, FunctionRef<bool(const Progress&)> keep_going) {
  std::atomic<bool> ended{false};
  const auto ask = [&](size_t thread, double layer_fraction) {
    if (thread == 0 && !keep_going(progress(layer_fraction))) ended = true;
    return !ended.load(std::memory_order_relaxed) && !all_stopped();
  };
  const LayerContext context{config_, *model_.kernels, workspace.pool, workspace.scratch, ask};
  while (phase_ != Phase::kDone) {
    if (n_blocks_done_ == 0) {
      end_stopped();
      drop_ended();
    }
    if (phase_ != Phase::kBegin && rows_.size() == 0) return true;
    const bool at_end = phase_ == Phase::kAttend || phase_ == Phase::kProject || phase_ == Phase::kRevive
                            ? compute_rows(context)
                            : (between_passes(workspace), true);
    if (at_end) {
      n_blocks_done_ = 0;
    } else if (!all_stopped()) {
      return false;
    } else {
      n_blocks_done_ = 0;  // nobody wants the rest: the sequences end above
    }
  }
  return true;
}

// A pass over blocks of rows. False: it ended between two of them.
bool Step::compute_rows(const LayerContext& context) {
  const LayerWeights& weights = model_.weights.layers[layer_];
  const bool is_last = layer_ + 1 == config_.n_layers;
  switch (phase_) {
    case Phase::kProject:
      if (!project(context, weights, rows_now(), n_blocks_done_)) return false;
      // What the layer makes of a dropped token is not computed before a step wants it.
      phase_ = is_last ? Phase::kTurn : Phase::kChoose;
      return true;
    case Phase::kRevive:
      if (!project_queries(context, weights, revived_rows_now(), n_blocks_done_)) return false;
      phase_ = Phase::kJoin;
      return true;
    default:
      if (!attend_and_feed_forward(context, weights, rows_now(), n_blocks_done_)) return false;
      phase_ = Phase::kLeave;
      return true;
  }
}

void Step::between_passes(Workspace& workspace) {
  switch (phase_) {
    case Phase::kBegin:
      begin();
      phase_ = Phase::kEnter;
      break;
    case Phase::kEnter:
      for_each_pass([&](SequencePass& pass) { pass.enter(layer_, rows_); });
      phase_ = Phase::kProject;
      break;
    case Phase::kChoose:
      choose(workspace);
      gather_revived();
      phase_ = revived_.size() > 0 ? Phase::kRevive : Phase::kJoin;
      break;
    case Phase::kJoin:
      join();
      phase_ = Phase::kTurn;
      break;
    case Phase::kTurn:
      for_each_pass([&](SequencePass& pass) { pass.turn_queries(rows_); });
      phase_ = Phase::kAttend;
      break;
    case Phase::kLeave:
      for_each_pass([&](SequencePass& pass) {
        pass.leave(rows_, workspace);
        work_done_ += pass.work(layer_);
      });
      phase_ = ++layer_ < config_.n_layers ? Phase::kEnter : Phase::kLogits;
      break;
    default:
      give_logits(workspace);
      phase_ = Phase::kDone;
  }
}

void Step::begin() {
  std::vector<RowSet::Row> body;
  std::vector<RowSet::Row> top;
  total_work_ = 0;
  for (size_t s = 0; s < sequences_.size(); ++s) {
    passes_[s] = std::make_unique<SequencePass>(model_, sequences_[s], s);
    passes_[s]->add_rows(body, top);
    for (size_t layer = 0; layer < config_.n_layers; ++layer) total_work_ += passes_[s]->work(layer);
  }
  rows_.assign(body, top);
  for (size_t s = 0; s < sequences_.size(); ++s) {
    const std::span<const int32_t> tokens = sequences_[s].tokens;
    const RowRange in_body = rows_.body_of(s);
    auto embedded = model_.embed(tokens.first(in_body.size()), rows_.hidden_of(in_body.begin));
    if (embedded)
      embedded = model_.embed(tokens.subspan(in_body.size()), rows_.hidden_of(rows_.top_of(s).begin));
    if (!embedded) roll_back(s, std::move(embedded));
  }
}

// Rows leave where a stage of their sequence's schedule is.
void Step::choose(Workspace& workspace) {
  std::vector<uint8_t> stays(rows_.size(), 1);
  std::vector<size_t> seen_enough;
  std::vector<size_t> damaged;
  for_each_pass([&](SequencePass& pass) {
    if (!pass.choose(rows_, workspace, stays)) seen_enough.push_back(pass.sequence());
  });
  for (size_t row = 0; row < stays.size(); ++row) {
    if (stays[row] == 0 && !all_finite({rows_.hidden_of(row), config_.d_model}))
      damaged.push_back(rows_.rows()[row].sequence);
  }
  if (std::find(stays.begin(), stays.end(), 0) != stays.end()) {
    rows_.keep(stays);
    rows_changed_ = true;
  }
  for (size_t s : seen_enough) {
    if (!rows_are_finite(s)) damaged.push_back(s);
    roll_back(s, {});
  }
  for (size_t s : damaged) roll_back(s, no_numbers());
}

// Tokens that an earlier step dropped at this layer, and that are wanted now, become rows again. Their
// columns are there; they go on from their queries.
void Step::gather_revived() {
  std::vector<RowSet::Row> all;
  for_each_pass([&](SequencePass& pass) { pass.add_revived(all); });
  revived_.assign(all, {});
  for_each_pass([&](SequencePass& pass) { pass.take_revived(revived_); });
}

void Step::join() {
  rows_changed_ |= revived_.size() > 0;
  rows_.insert(revived_);
  revived_.assign({}, {});
  for_each_pass([&](SequencePass& pass) { pass.go_on_with(rows_, rows_changed_); });
  rows_changed_ = false;
}

Rows Step::rows_now() {
  new_columns_.clear();
  views_.clear();
  for_each_pass([&](SequencePass& pass) { pass.add_body(rows_, new_columns_, views_); });
  for_each_pass([&](SequencePass& pass) { pass.add_top(rows_, new_columns_, views_); });
  Rows rows;
  rows.n_rows = rows_.size();
  rows.n_body = rows_.n_body();
  rows.of_prompt = rows_.of_prompt();
  rows.hidden = rows_.hidden();
  rows.angles = rows_.angles(config_.layers[layer_].rope);
  rows.q = rows_.q();
  rows.columns = new_columns_;
  rows.views = views_;
  return rows;
}

Rows Step::revived_rows_now() {
  Rows rows;
  rows.n_rows = revived_.size();
  rows.n_body = revived_.size();
  rows.of_prompt = revived_.of_prompt();
  rows.hidden = revived_.hidden();
  rows.angles = revived_.angles(config_.layers[layer_].rope);
  rows.q = revived_.q();
  return rows;
}

Progress Step::progress(double layer_fraction) const {
  double layer_work = 0;
  for (const auto& pass : passes_) layer_work += pass != nullptr ? pass->work(layer_) : 0;
  return {layer_, config_.n_layers, rows_.size(), (work_done_ + layer_fraction * layer_work) / total_work_};
}

bool Step::all_stopped() const {
  for (size_t s = 0; s < sequences_.size(); ++s) {
    if (passes_[s] != nullptr && !sequences_[s].stop.stop_requested()) return false;
  }
  return true;
}

// The rows of sequences that have ended.
void Step::drop_ended() {
  if (!std::exchange(any_ended_, false)) return;
  for (RowSet* rows : {&rows_, &revived_}) {
    std::vector<uint8_t> stays;
    for (const RowSet::Row& row : rows->rows()) stays.push_back(passes_[row.sequence] != nullptr ? 1 : 0);
    rows->keep(stays);
  }
}

template <class Fn>
void Step::for_each_pass(Fn fn) {
  for (size_t s = 0; s < passes_.size(); ++s) {
    if (passes_[s] == nullptr) continue;
    try {
      fn(*passes_[s]);
    } catch (const std::bad_alloc&) {
      roll_back(s, out_of_memory());
    }
  }
}

}  // namespace lazyfill
