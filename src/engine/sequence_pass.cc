#include "engine/sequence_pass.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "engine/logits.h"
#include "engine/work_estimate.h"
#include "kernels/attention.h"

namespace lazyfill {
namespace {

constexpr size_t kNotedLayers = 8;
const LazyOptions kNoOptions{};  // nothing is chosen by them

DecodeBytes decode_bytes(const Model& model, const SequenceCache& cache) {
  return {model.config.n_layers, model.weights.step_bytes(model.config),
          model.weights.layer_bytes(model.config), static_cast<double>(cache.columns(0).bytes_per_column())};
}

}  // namespace

SequencePass::SequencePass(const Model& model, SequenceStep& step, size_t sequence)
    : model_(model),
      config_(model.config),
      step_(step),
      plan_(step.plan),
      cache_(step.cache),
      sequence_(sequence),
      first_new_(static_cast<TokenIndex>(step.cache.n_tokens())),
      is_first_step_(step.cache.n_tokens() == 0),
      budget_(decode_bytes(model, step.cache), step.cache.saved_for_revival()),
      selection_(plan_.lazy != nullptr ? *plan_.lazy : kNoOptions, plan_.schedule, first_new_,
                 plan_.prompt_end),
      stream_{step.cache.shape().n_pinned, step.cache.shape().window_tokens},
      visibility_(model.config, first_new_, step.parents, stream_),
      sink_queries_(model.config, *model.kernels, stream_),
      candidates_(step.cache.held_tokens(step.tokens.size())),
      layer_work_(estimate_work(config_, plan_.schedule, step.tokens.size(), candidates_.size())) {}

// Whether the kernels may multiply the step's rows as those of a prompt. That is prepared for by unpacking
// the weights to more bytes, which fewer rows do not repay: at 8 rows it takes a third to a half longer than
// without, at 32 it is 1.7 times as fast. Told by the sequence's own step, so that no neighbour changes a
// bit.
bool SequencePass::reads_many() const {
  constexpr size_t kWorthPreparing = 16;
  size_t n_rows = step_.tokens.size();
  // Without a choice, all that once left comes back.
  for (size_t i = 0; plan_.schedule.empty() && i < config_.n_layers; ++i)
    n_rows += cache_.find_aux(i) != nullptr ? cache_.find_aux(i)->size() : 0;
  return !is_decode() && n_rows >= kWorthPreparing;
}

void SequencePass::add_rows(std::vector<RowSet::Row>& body, std::vector<RowSet::Row>& top) const {
  const size_t n = step_.tokens.size();
  const size_t n_top = step_.parents.empty() ? 1 : n;
  const auto context = static_cast<uint32_t>(cache_.context_tokens());
  std::vector<int32_t> depth(n);
  for (size_t i = 0; i < n; ++i) {
    if (step_.parents.empty()) {
      depth[i] = static_cast<int32_t>(i);
    } else {
      depth[i] = step_.parents[i] < 0 ? 0 : depth[static_cast<size_t>(step_.parents[i])] + 1;
    }
    const RowSet::Row row{static_cast<uint32_t>(sequence_), first_new_ + static_cast<TokenIndex>(i),
                          first_new_ + depth[i], context, reads_many()};
    (i + n_top < n ? body : top).push_back(row);
  }
}

float SequencePass::attention_mass() const {
  const bool may_be_sparse = plan_.lazy != nullptr && config_.layers[layer_].window == 0;
  return may_be_sparse ? plan_.lazy->attention_mass.value_or(1) : 1;
}

void SequencePass::enter(size_t layer, const RowSet& rows) {
  layer_ = layer;
  LayerColumns& columns = cache_.columns(layer);
  set_evicted_aside(columns);
  // Sparse attention, which leaves out columns anyway, gathers them faster from the cache.
  visibility_.enter(columns, rows.tokens_of(sequence_), candidates_, attention_mass() >= 1);
  entered_.clear();
  visibility_.find_ranges(rows, sequence_, candidates_, config_.layers[layer].window);
}

void SequencePass::add_body(const RowSet& rows, std::vector<NewColumns>& columns, std::vector<View>& views) {
  const RowRange body = rows.body_of(sequence_);
  const bool is_last = layer_ + 1 == config_.n_layers;
  const size_t n_wanted = step_.n_logit_rows - std::min(step_.n_logit_rows, rows.top_of(sequence_).size());
  visibility_.add_columns(body, 0, columns);
  visibility_.add_views(body, 0,
                        {.first_output = is_last ? body.end - n_wanted : body.begin,
                         .attention_mass = attention_mass(),
                         .pairs = &pairs_,
                         .sink_q = sink_q_},
                        views);
}

void SequencePass::add_top(const RowSet& rows, std::vector<NewColumns>& columns, std::vector<View>& views) {
  const RowRange top = rows.top_of(sequence_);
  const size_t n_body = rows.body_of(sequence_).size();
  visibility_.add_columns(top, n_body, columns);
  visibility_.add_views(top, n_body, {.is_top = true, .first_output = top.begin, .sink_q = sink_q_}, views);
}

void SequencePass::turn_queries(const RowSet& rows) {
  const size_t n_plain = visibility_.n_plain();
  sink_q_ = nullptr;
  if (stream_.n_sinks > 0 && n_plain < rows.n_of(sequence_))
    sink_q_ = sink_queries_.turn(rows, sequence_, n_plain, config_.layers[layer_].rope);
}

// Where columns leave, every layer keeps others: the candidates of this layer are those that it still has,
// and the new rows. leave() puts them back.
void SequencePass::set_evicted_aside(const LayerColumns& columns) {
  if (plan_.lazy == nullptr || is_first_step_) return;
  if (policy_info(*plan_.lazy).leaves != Leaves::kColumns) return;
  before_eviction_ = candidates_;
  std::erase_if(candidates_, [&](TokenIndex token) { return token < first_new_ && !columns.has(token); });
}

void SequencePass::evict(RowSet& rows, Workspace& workspace) {
  if (layer_ < plan_.eviction->layer || config_.layers[layer_].window > 0) return;
  LayerEvidence seen = evidence(rows, *plan_.eviction, workspace);
  std::vector<TokenIndex> kept;
  for (uint32_t index : selection_.choose_columns(*plan_.eviction, seen)) kept.push_back(candidates_[index]);
  cache_.columns(layer_).keep_only(kept);
  cache_.note_eviction();
}

void SequencePass::leave(RowSet& rows, Workspace& workspace) {
  // The newest row's: drafts, which come behind it, neither save nor spend.
  const size_t n_drafts = step_.parents.empty() ? 0 : step_.tokens.size() - 1;
  const ColumnRange& seen = visibility_.ranges()[visibility_.ranges().size() - 1 - n_drafts];
  const size_t window = config_.layers[layer_].window;
  const size_t n_tokens = cache_.n_held() + step_.tokens.size() - n_drafts;
  budget_.leave_layer(seen.end - seen.begin, window > 0 ? std::min(window, n_tokens) : n_tokens,
                      n_revived_rows(rows));
  if (plan_.eviction != nullptr) evict(rows, workspace);
  if (!before_eviction_.empty()) candidates_ = std::exchange(before_eviction_, {});
}

// A step that is stopped leaves what others can begin with: of a lazy one that is what lies below the choice,
// of a dense one what lies below a layer that was noted last, every so many layers.
void SequencePass::note_progress(RowSet& rows) {
  if (!plan_.schedule.empty()) {
    if (cache_.entered_layer() == layer_) finished_layer_ = layer_;
    return;
  }
  const size_t every = std::max<size_t>(1, config_.n_layers / kNotedLayers);
  const bool is_below_revival = cache_.entered_layer() && *cache_.entered_layer() >= layer_;
  if ((layer_ + 1) % every != 0 || layer_ + 1 == config_.n_layers || is_below_revival) return;
  if (!cache_.entered_layer()) cache_.keep_entered(layer_);
  const auto first = std::min(cache_.entered_from(), first_new_);
  const size_t n = rows.n_of(sequence_);
  const auto n_wanted = static_cast<size_t>(first_new_ - first) + step_.tokens.size();
  if (n != n_wanted) return;  // what came back is not all that is to be kept
  for (size_t i = 0; i < n; ++i) {
    const size_t row = rows.row_of(sequence_, i);
    cache_.put_entered(rows.rows()[row].token, rows.hidden_of(row));
  }
  cache_.move_entered(layer_);
  finished_layer_ = layer_;
}

bool SequencePass::entered_is_finite() const {
  const auto end = first_new_ + static_cast<TokenIndex>(step_.tokens.size());
  for (TokenIndex token = std::min(cache_.entered_from(), first_new_); token < end; ++token)
    if (!all_finite({cache_.entered_state(token), config_.d_model})) return false;
  return true;
}

bool SequencePass::choose(RowSet& rows, Workspace& workspace, std::span<uint8_t> stays) {
  if (cache_.entered_layer() == layer_) {
    for (size_t i = 0; i < rows.n_of(sequence_); ++i) {
      const size_t row = rows.row_of(sequence_, i);
      if (rows.rows()[row].token >= first_new_)
        cache_.put_entered(rows.rows()[row].token, rows.hidden_of(row));
    }
  }
  if (step_.keeps_progress) note_progress(rows);
  const ScheduleStage* stage = selection_.next_stage();
  if (stage == nullptr) return true;
  if (selection_.votes_at(layer_, config_.layers[layer_].window == 0)) {
    LayerEvidence seen = evidence(rows, *stage, workspace);
    selection_.vote(seen);
  }
  if (stage->layer != layer_) return true;
  prune(rows, *stage, stays);
  return !plan_.only_choose;
}

// Rows and candidates that the policy does not keep leave; a row's state goes to the Aux Cache.
void SequencePass::prune(RowSet& rows, const ScheduleStage& stage, std::span<uint8_t> stays) {
  const LayerColumns& next = cache_.columns(stage.layer + 1);
  const size_t n = n_voted_on();
  std::vector<uint8_t> computed_next(n);
  for (size_t i = 0; i < n; ++i) computed_next[i] = candidates_[i] >= first_new_ || next.has(candidates_[i]);
  const std::vector<uint32_t> chosen =
      selection_.choose({std::span(candidates_).first(n), computed_next, &cache_.votes(stage.layer), &budget_,
                         n_revived_rows(rows)});
  std::vector<TokenIndex> kept;
  for (uint32_t index : chosen) kept.push_back(candidates_[index]);
  kept.insert(kept.end(), candidates_.begin() + static_cast<std::ptrdiff_t>(n), candidates_.end());
  for (size_t i = 0; i < rows.n_of(sequence_) && !plan_.only_choose; ++i) {
    const size_t row = rows.row_of(sequence_, i);
    const TokenIndex token = rows.rows()[row].token;
    if (std::binary_search(kept.begin(), kept.end(), token)) continue;
    cache_.aux(stage.layer).put(token, rows.hidden_of(row));
    stays[row] = 0;
  }
  entered_ = std::exchange(candidates_, kept);
  step_.trace.stages.push_back({stage.layer, std::move(kept), {}, 0});
}

// Candidates, from the first on, among which the choice is made: drafts but for the first all stay.
size_t SequencePass::n_voted_on() const {
  return candidates_.size() - (step_.parents.empty() ? 0 : step_.tokens.size() - 1);
}

// Rows that an earlier step had dropped.
size_t SequencePass::n_revived_rows(const RowSet& rows) const {
  const RowRange body = rows.body_of(sequence_);
  const auto begin = rows.rows().begin() + static_cast<std::ptrdiff_t>(body.begin);
  const auto end = rows.rows().begin() + static_cast<std::ptrdiff_t>(body.end);
  const auto first_new =
      std::partition_point(begin, end, [&](const RowSet::Row& row) { return row.token < first_new_; });
  return static_cast<size_t>(first_new - begin);
}

// What can be seen at the layer that was entered. Of drafts the first, which is no draft, votes for all.
LayerEvidence SequencePass::evidence(RowSet& rows, const ScheduleStage& stage, Workspace& workspace) {
  AttentionTask seen;
  seen.shape = config_.attention_shape();
  seen.columns = visibility_.seen();
  seen.list = visibility_.list();
  seen.list.n = n_voted_on();
  std::vector<TokenIndex> tokens = rows.tokens_of(sequence_);
  if (!step_.parents.empty())
    tokens.erase(std::upper_bound(tokens.begin(), tokens.end(), first_new_), tokens.end());
  turn_queries(rows);
  std::vector<VotingRow> voters;
  for (size_t i : selection_.voters(tokens, plan_.voters)) {
    voters.push_back({rows.q_of(rows.row_of(sequence_, i)), visibility_.ranges()[i]});
    if (sink_q_ == nullptr || i < visibility_.n_plain()) continue;
    voters.back().sink_q = sink_q_ + (i - visibility_.n_plain()) * config_.q_dim();
    voters.back().sinks = visibility_.sinks(i);
  }
  LayerEvidence all(*model_.kernels, Team::all(workspace.pool), workspace.scratch.attention, seen,
                    std::move(voters));
  all.positions = std::span(candidates_).first(n_voted_on());
  all.layer = layer_;
  all.stage = stage;
  return all;
}

void SequencePass::add_revived(std::vector<RowSet::Row>& all) {
  revived_.clear();
  const AuxCache* aux = cache_.find_aux(layer_);
  if (aux == nullptr || aux->size() == 0) return;
  const auto context = static_cast<uint32_t>(cache_.context_tokens());
  for (TokenIndex token : candidates_) {
    if (token >= first_new_ || !aux->has(token)) continue;
    revived_.push_back(token);
    all.push_back({static_cast<uint32_t>(sequence_), token, token, context, reads_many()});
  }
}

void SequencePass::take_revived(RowSet& revived) {
  if (revived_.empty()) return;
  for (size_t i = 0; i < revived_.size(); ++i)
    cache_.find_aux(layer_)->take(revived_[i], revived.hidden_of(revived.row_of(sequence_, i)));
  step_.trace.n_revived += revived_.size();
  if (stage_here() != nullptr) stage_here()->revived = revived_;
}

void SequencePass::go_on_with(const RowSet& rows, bool changed) {
  if (changed)
    visibility_.find_ranges(rows, sequence_, entered_.empty() ? candidates_ : entered_,
                            config_.layers[layer_].window);
  if (stage_here() == nullptr) return;
  const std::vector<TokenIndex> tokens = rows.tokens_of(sequence_);
  const auto end = std::lower_bound(tokens.begin(), tokens.end(), static_cast<TokenIndex>(plan_.prompt_end));
  stage_here()->n_prompt_rows = static_cast<size_t>(end - tokens.begin());
}

// What is noted of the stage at this layer; null where there is none.
StageTrace* SequencePass::stage_here() {
  std::vector<StageTrace>& stages = step_.trace.stages;
  return stages.empty() || stages.back().layer != layer_ ? nullptr : &stages.back();
}

void SequencePass::finish_trace() {
  const uint64_t seen = pairs_.seen;
  if (seen > 0) step_.trace.attention_kept = static_cast<double>(pairs_.kept) / static_cast<double>(seen);
}

}  // namespace lazyfill
