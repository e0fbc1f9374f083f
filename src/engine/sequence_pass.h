// One sequence on its way through a step: which of its tokens are candidates, who leaves, who comes back.
#pragma once

#include <optional>
#include <vector>

#include "engine/layer_evidence.h"
#include "engine/sink_queries.h"
#include "engine/step.h"
#include "pruning/revival_budget.h"
#include "pruning/selection.h"

namespace lazyfill {

class SequencePass {
 public:
  SequencePass(const Model& model, SequenceStep& step, size_t sequence);

  size_t sequence() const { return sequence_; }
  // The rows that it brings.
  void add_rows(std::vector<RowSet::Row>& body, std::vector<RowSet::Row>& top) const;
  double work(size_t layer) const { return layer_work_[layer]; }

  // Gives the rows columns at the layer, and finds what they see.
  void enter(size_t layer, const RowSet& rows);
  // Where its rows, of the body or the top ones, put their columns, and what they see.
  void add_body(const RowSet& rows, std::vector<NewColumns>& columns, std::vector<View>& views);
  void add_top(const RowSet& rows, std::vector<NewColumns>& columns, std::vector<View>& views);

  // Votes for the next stage, and the choice where this layer is the stage: rows that leave get a 0 in stays
  // [rows], and their states go to the Aux Cache. False: the step has seen enough (Plan::only_choose).
  bool choose(RowSet& rows, Workspace& workspace, std::span<uint8_t> stays);
  // The layer up to which all rows have columns, with the states that entered it in the cache; none: there is
  // nothing to keep of a step that ends here.
  std::optional<size_t> finished_layer() const { return finished_layer_; }
  bool entered_is_finite() const;
  // The candidates that an earlier step dropped at this layer, and that are wanted now.
  void add_revived(std::vector<RowSet::Row>& all);
  // Their states from the Aux Cache to the rows.
  void take_revived(RowSet& revived);
  // These are the rows that go on; `changed`: others than those that came in.
  void go_on_with(const RowSet& rows, bool changed);
  // Queries of these rows for what a stream's rows see besides the newest tokens.
  void turn_queries(const RowSet& rows);
  void leave(RowSet& rows, Workspace& workspace);

  // The step ends well: what the steps after it may spend on tokens that come back.
  double saved_for_revival() const { return budget_.end_step(!is_decode()); }
  void finish_trace();

 private:
  bool is_decode() const { return first_new_ >= static_cast<TokenIndex>(plan_.prompt_end); }
  bool reads_many() const;
  void note_progress(RowSet& rows);
  float attention_mass() const;
  void set_evicted_aside(const LayerColumns& columns);
  void evict(RowSet& rows, Workspace& workspace);
  void prune(RowSet& rows, const ScheduleStage& stage, std::span<uint8_t> stays);
  size_t n_revived_rows(const RowSet& rows) const;
  size_t n_voted_on() const;
  LayerEvidence evidence(RowSet& rows, const ScheduleStage& stage, Workspace& workspace);
  StageTrace* stage_here();

  const Model& model_;
  const ModelConfig& config_;
  SequenceStep& step_;
  const Plan& plan_;
  SequenceCache& cache_;
  const size_t sequence_;
  const TokenIndex first_new_;
  const bool is_first_step_;
  RevivalBudget budget_;
  Selection selection_;
  StreamShape stream_;
  Visibility visibility_;
  SinkQueries sink_queries_;
  const float* sink_q_ = nullptr;  // [rows from visibility_.n_plain() on, q_dim]
  size_t layer_ = 0;
  std::optional<size_t> finished_layer_;
  std::vector<TokenIndex> candidates_;  // that rows may see
  std::vector<TokenIndex> entered_;     // at a stage's layer: the candidates before the choice; else empty
  std::vector<TokenIndex> before_eviction_;  // the candidates, while a layer has others; else empty
  std::vector<TokenIndex> revived_;          // at this layer
  std::vector<double> layer_work_;           // [n_layers]
  AttentionPairs pairs_;
};

}  // namespace lazyfill
