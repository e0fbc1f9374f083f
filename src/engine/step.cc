#include "engine/step.h"

#include <algorithm>
#include <iterator>
#include <new>
#include <numeric>
#include <utility>

#include "engine/layer_evidence.h"
#include "engine/logits.h"
#include "engine/work_estimate.h"
#include "pruning/selection.h"

namespace lazyfill {

namespace {

const LazyOptions kNoOptions;  // of a dense step, where nothing is chosen

// Rows of `width` floats go between the n_rows that are there, so that `places` (ascending) are theirs. From
// the back, so that each row moves once: revived positions are older than most.
void insert_rows(Buffer<float>& rows, size_t n_rows, size_t width, const float* inserted,
                 std::span<const size_t> places) {
  const size_t n_after = n_rows + places.size();
  if (n_after * width > rows.size()) {
    Buffer<float> wider(n_after * width);
    std::copy_n(rows.data(), n_rows * width, wider.data());
    std::swap(wider, rows);
  }
  size_t n_left = places.size();
  for (size_t row = n_after; n_left > 0;) {
    const bool is_inserted = places[n_left - 1] == --row;
    const float* source = is_inserted ? inserted + --n_left * width : rows.data() + --n_rows * width;
    std::copy_n(source, width, rows.data() + row * width);
  }
}

}  // namespace

// One run of the step: its rows and candidates as they go up the layers. Both lists are sorted by position,
// and every row is a candidate.
class StepRunner::Pass {
 public:
  Pass(StepRunner& runner, const StepInput& input, SequenceCache& cache, StepTrace& trace)
      : r_(runner),
        config_(runner.model_.config),
        input_(input),
        cache_(cache),
        trace_(trace),
        first_new_(static_cast<int32_t>(cache.n_tokens())),
        is_first_step_(cache.n_tokens() == 0),
        selection_(input.lazy != nullptr ? *input.lazy : kNoOptions, input.schedule, first_new_,
                   input.prompt_end),
        budget_(runner.decode_bytes(cache), cache.saved_for_revival()) {}

  bool run() {
    begin();
    for (size_t layer = 0; layer < config_.n_layers; ++layer) {
      const LayerWeights& weights = r_.model_.weights.layers[layer];
      const auto keep_going = [&](size_t thread, double fraction) { return report(layer, thread, fraction); };
      const LayerContext context{config_, *r_.model_.kernels, r_.pool_, r_.scratch_, keep_going};
      enter(layer);
      if (!project(context, weights, rows_at(layer))) return false;
      if (layer + 1 < config_.n_layers) {
        // What the layer makes of a dropped token is not computed before a step wants it.
        choose(layer);
        if (input_.only_choose && !trace_.stages.empty()) return true;
        if (!revive(context, weights, layer)) return false;
        count_prompt_rows(layer);
      }
      if (!attend_and_feed_forward(context, weights, rows_at(layer))) return false;
      leave(layer);
    }
    return true;
  }

  // What the steps after this one may spend on tokens that come back.
  double saved_for_revival() const { return budget_.end_step(!is_decode()); }

  // The last n rows after the last layer.
  const float* top_rows(size_t n) const { return r_.hidden_.data() + (rows_.size() - n) * config_.d_model; }

 private:
  bool is_decode() const { return first_new_ >= static_cast<int32_t>(input_.prompt_end); }

  void begin() {
    const size_t n = input_.tokens.size();
    rows_.resize(n);
    std::iota(rows_.begin(), rows_.end(), first_new_);
    candidates_.resize(cache_.n_tokens() + n);
    std::iota(candidates_.begin(), candidates_.end(), 0);
    r_.q_.ensure(n * config_.q_dim());
    find_angles();
    layer_work_ = estimate_work(config_, input_.schedule, rows_.size(), candidates_.size());
    total_work_ = std::accumulate(layer_work_.begin(), layer_work_.end(), 0.0);
  }

  // Gives the rows columns, and lists those that they see: the candidates'.
  void enter(size_t layer) {
    LayerColumns& columns = cache_.columns(layer);
    set_evicted_aside(columns);
    segment_.column_type = columns.type();
    segment_.keys = columns.keys();
    segment_.values = columns.values();
    segment_.capacity = columns.capacity();
    segment_.first_new_slot = columns.append(rows_);
    segment_.visible = columns.list(candidates_, r_.slots_);
    use_exact_columns(layer);
    entered_.clear();
    find_ranges(layer);
  }

  // A prompt's own columns need not be rounded for its own rows: the last row's attention chooses among
  // tokens that are nearly equal, and the rounding to fp16 was the largest error of all. Sparse attention,
  // which leaves out columns anyway, gathers them faster from the cache.
  void use_exact_columns(size_t layer) {
    segment_.exact_keys = nullptr;
    const size_t n = rows_.size();
    if (candidates_.size() != n || segment_.column_type == ColumnType::kF32 || attention_mass(layer) < 1)
      return;
    r_.exact_columns_.ensure(2 * n * config_.kv_dim());
    segment_.exact_keys = reinterpret_cast<std::byte*>(r_.exact_columns_.data());
    segment_.exact_values = reinterpret_cast<std::byte*>(r_.exact_columns_.data() + n * config_.kv_dim());
    segment_.exact_capacity = n;
    segment_.visible = {nullptr, 0, n};
  }

  float attention_mass(size_t layer) const {
    const bool may_be_sparse = input_.lazy != nullptr && config_.layers[layer].window == 0;
    return may_be_sparse ? input_.lazy->attention_mass.value_or(1) : 1;
  }

  void leave(size_t layer) {
    const ColumnRange& seen = r_.ranges_[rows_.size() - 1];
    const size_t window = config_.layers[layer].window;
    const size_t n_tokens = cache_.n_tokens() + input_.tokens.size();
    budget_.leave_layer(seen.end - seen.begin, window > 0 ? std::min(window, n_tokens) : n_tokens,
                        n_revived_rows());
    if (input_.eviction != nullptr) evict(layer, cache_.columns(layer));
    if (!before_eviction_.empty()) candidates_ = std::exchange(before_eviction_, {});
    work_done_ += layer_work_[layer];
  }

  // Where columns leave, every layer keeps others: the candidates of this layer are those that it still has,
  // and the new rows. leave() puts them back.
  void set_evicted_aside(const LayerColumns& columns) {
    if (input_.lazy == nullptr || is_first_step_) return;
    if (policy_info(*input_.lazy).leaves != Leaves::kColumns) return;
    before_eviction_ = candidates_;
    std::erase_if(candidates_,
                  [&](int32_t position) { return position < first_new_ && !columns.has(position); });
  }

  void evict(size_t layer, LayerColumns& columns) {
    if (layer < input_.eviction->layer || config_.layers[layer].window > 0) return;
    LayerEvidence evidence = evidence_at(layer, *input_.eviction);
    std::vector<int32_t> kept;
    for (uint32_t index : selection_.choose_columns(*input_.eviction, evidence))
      kept.push_back(candidates_[index]);
    columns.keep_only(kept);
  }

  // The rows as they are now, for a pass of the layer.
  Rows rows_at(size_t layer) {
    segment_.row_end = rows_.size();
    segment_.ranges = r_.ranges_.data();
    Rows rows;
    rows.n_rows = rows_.size();
    rows.hidden = r_.hidden_.data();
    rows.angles = r_.angles_[config_.layers[layer].rope].data();
    rows.q = r_.q_.data();
    rows.segments = {&segment_, 1};
    rows.attention_mass = attention_mass(layer);
    const bool is_last = layer + 1 == config_.n_layers;
    rows.first_output_row = is_last ? rows_.size() - input_.n_logit_rows : 0;
    return rows;
  }

  // What each row sees of the candidates that entered the layer: up to itself, and within the window.
  void find_ranges(size_t layer) {
    const std::vector<int32_t>& entered = entered_.empty() ? candidates_ : entered_;
    const size_t window = config_.layers[layer].window;
    r_.ranges_.resize(rows_.size());
    uint32_t begin = 0;
    uint32_t end = 0;
    const auto first_above = [&](int32_t position, uint32_t from) {
      const auto at = std::upper_bound(entered.begin() + from, entered.end(), position);
      return static_cast<uint32_t>(at - entered.begin());
    };
    for (size_t i = 0; i < rows_.size(); ++i) {
      end = first_above(rows_[i], end);
      if (window > 0) begin = first_above(rows_[i] - static_cast<int32_t>(window), begin);
      r_.ranges_[i] = {begin, end};
    }
  }

  // Votes for the next stage, and the choice where this layer is the stage.
  void choose(size_t layer) {
    const ScheduleStage* stage = selection_.next_stage();
    if (stage == nullptr) return;
    if (selection_.votes_at(layer, config_.layers[layer].window == 0)) {
      LayerEvidence evidence = evidence_at(layer, *stage);
      selection_.vote(evidence);
    }
    if (stage->layer == layer) prune(*stage);
  }

  // Rows and candidates that the policy does not keep leave; a row's state goes to the Aux Cache.
  void prune(const ScheduleStage& stage) {
    const LayerColumns& next = cache_.columns(stage.layer + 1);
    std::vector<uint8_t> computed_next(candidates_.size());
    for (size_t i = 0; i < candidates_.size(); ++i) {
      computed_next[i] = candidates_[i] >= first_new_ || next.has(candidates_[i]);
    }
    const std::vector<uint32_t> kept = selection_.choose(
        {candidates_, computed_next, &cache_.votes(stage.layer), &budget_, n_revived_rows()});

    std::vector<int32_t> kept_positions;
    kept_positions.reserve(kept.size());
    for (uint32_t index : kept) kept_positions.push_back(candidates_[index]);
    if (!input_.only_choose) drop_rows_outside(kept_positions, stage.layer);
    entered_ = std::exchange(candidates_, kept_positions);
    trace_.stages.push_back({stage.layer, std::move(kept_positions), {}, 0});
  }

  // Rows that an earlier step had dropped.
  size_t n_revived_rows() const {
    const auto first_new = std::lower_bound(rows_.begin(), rows_.end(), first_new_);
    return static_cast<size_t>(first_new - rows_.begin());
  }

  // What can be seen at the layer that was entered.
  LayerEvidence evidence_at(size_t layer, const ScheduleStage& stage) {
    AttentionTask seen;
    seen.shape = config_.attention_shape();
    seen.columns = segment_.seen();
    seen.list = segment_.visible;
    std::vector<VotingRow> voters;
    for (size_t row : selection_.voters(rows_, input_.voters))
      voters.push_back({r_.q_.data() + row * config_.q_dim(), r_.ranges_[row]});
    LayerEvidence evidence(*r_.model_.kernels, Team::all(r_.pool_), r_.scratch_.attention, seen,
                           std::move(voters));
    evidence.positions = candidates_;
    evidence.layer = layer;
    evidence.stage = stage;
    return evidence;
  }

  void drop_rows_outside(std::span<const int32_t> kept, size_t layer) {
    const size_t d_model = config_.d_model;
    const size_t q_dim = config_.q_dim();
    float* hidden = r_.hidden_.data();
    float* q = r_.q_.data();
    size_t n_stay = 0;
    for (size_t i = 0; i < rows_.size(); ++i) {
      if (!std::binary_search(kept.begin(), kept.end(), rows_[i])) {
        cache_.aux(layer).put(rows_[i], hidden + i * d_model);
        continue;
      }
      if (n_stay != i) {
        std::copy_n(hidden + i * d_model, d_model, hidden + n_stay * d_model);
        std::copy_n(q + i * q_dim, q_dim, q + n_stay * q_dim);
      }
      rows_[n_stay++] = rows_[i];
    }
    if (n_stay == rows_.size()) return;
    rows_.resize(n_stay);
    rows_changed_ = true;
  }

  // Candidates that an earlier step dropped at this layer, and that are wanted now, become rows again. Their
  // columns are there; they go on from their queries. False when the step was stopped.
  bool revive(const LayerContext& context, const LayerWeights& weights, size_t layer) {
    AuxCache* aux = cache_.find_aux(layer);
    std::vector<int32_t> revived;
    if (aux != nullptr && aux->size() > 0) {
      for (int32_t position : candidates_) {
        if (aux->has(position)) revived.push_back(position);
      }
    }
    if (!revived.empty() && !join(context, weights, layer, revived, *aux)) return false;
    if (rows_changed_) {
      find_angles();
      find_ranges(layer);
    }
    return true;
  }

  bool join(const LayerContext& context, const LayerWeights& weights, size_t layer,
            const std::vector<int32_t>& revived, AuxCache& aux) {
    const size_t n = revived.size();
    r_.revived_hidden_.ensure(n * config_.d_model);
    r_.revived_q_.ensure(n * config_.q_dim());
    r_.revived_angles_.resize(n * config_.rope_dim);
    for (size_t i = 0; i < n; ++i) aux.take(revived[i], r_.revived_hidden_.data() + i * config_.d_model);
    const size_t rope = config_.layers[layer].rope;
    r_.ropes_[rope].gather(revived, cache_.capacity_tokens(), r_.revived_angles_.data());
    Segment segment;
    segment.row_end = n;
    segment.precise_last_row = false;
    Rows rows;
    rows.n_rows = n;
    rows.hidden = r_.revived_hidden_.data();
    rows.angles = r_.revived_angles_.data();
    rows.q = r_.revived_q_.data();
    rows.segments = {&segment, 1};
    if (!project_queries(context, weights, rows)) return false;

    std::vector<size_t> places;
    for (int32_t position : revived) {
      const auto above = std::lower_bound(rows_.begin(), rows_.end(), position);
      places.push_back(static_cast<size_t>(above - rows_.begin()) + places.size());
    }
    insert_rows(r_.hidden_, rows_.size(), config_.d_model, rows.hidden, places);
    insert_rows(r_.q_, rows_.size(), config_.q_dim(), rows.q, places);
    std::vector<int32_t> all;
    std::merge(rows_.begin(), rows_.end(), revived.begin(), revived.end(), std::back_inserter(all));
    rows_ = std::move(all);
    rows_changed_ = true;
    trace_.n_revived += n;
    if (stage_at(layer) != nullptr) stage_at(layer)->revived = revived;
    return true;
  }

  // What is noted of the stage at this layer; null where there is none.
  StageTrace* stage_at(size_t layer) {
    return trace_.stages.empty() || trace_.stages.back().layer != layer ? nullptr : &trace_.stages.back();
  }

  void count_prompt_rows(size_t layer) {
    if (stage_at(layer) == nullptr) return;
    const auto end = std::lower_bound(rows_.begin(), rows_.end(), static_cast<int32_t>(input_.prompt_end));
    stage_at(layer)->n_prompt_rows = static_cast<size_t>(end - rows_.begin());
  }

  void find_angles() {
    for (size_t i = 0; i < r_.ropes_.size(); ++i) {
      r_.angles_[i].resize(rows_.size() * config_.rope_dim);
      r_.ropes_[i].gather(rows_, cache_.capacity_tokens(), r_.angles_[i].data());
    }
    rows_changed_ = false;
  }

  bool report(size_t layer, size_t thread, double layer_fraction) {
    if (thread != 0) return !stopped_.load(std::memory_order_relaxed);
    const double done = (work_done_ + layer_fraction * layer_work_[layer]) / total_work_;
    if (!input_.keep_going(Progress{layer, config_.n_layers, rows_.size(), done})) stopped_ = true;
    return !stopped_;
  }

  StepRunner& r_;
  const ModelConfig& config_;
  const StepInput& input_;
  SequenceCache& cache_;
  StepTrace& trace_;
  const int32_t first_new_;
  const bool is_first_step_;
  Selection selection_;
  RevivalBudget budget_;
  std::vector<int32_t> rows_;             // positions being computed
  std::vector<int32_t> candidates_;       // positions that rows may see
  std::vector<int32_t> entered_;          // at a stage's layer: the candidates before the choice; else empty
  std::vector<int32_t> before_eviction_;  // the candidates, while a layer has others; else empty
  bool rows_changed_ = false;             // at this layer, after its columns were stored
  Segment segment_;                       // all rows, and the columns of the layer
  std::vector<double> layer_work_;        // [n_layers]
  double total_work_ = 1;
  double work_done_ = 0;
  std::atomic<bool> stopped_{false};
};

StepRunner::StepRunner(const Model& model, ThreadPool& pool)
    : model_(model),
      pool_(pool),
      step_bytes_(model.weights.step_bytes(model.config)),
      layer_bytes_(model.weights.layer_bytes(model.config)),
      scratch_(pool.n_threads()),
      angles_(model.config.ropes.size()) {
  for (const RopeConfig& rope : model.config.ropes) ropes_.emplace_back(rope);
}

DecodeBytes StepRunner::decode_bytes(const SequenceCache& cache) const {
  const auto column_bytes = static_cast<double>(cache.columns(0).bytes_per_column());
  return {model_.config.n_layers, step_bytes_, layer_bytes_, column_bytes};
}

Result<void> StepRunner::run(const StepInput& input, SequenceCache& cache, std::span<float> logits,
                             StepTrace& trace) {
  trace = {};
  cache.begin_step();
  try {
    hidden_.ensure(input.tokens.size() * model_.config.d_model);
    if (auto embedded = model_.embed(input.tokens, hidden_.data()); !embedded) {
      cache.rollback_step();
      return embedded;
    }
    Pass pass(*this, input, cache, trace);
    const bool done = pass.run();
    const AttentionScratch::Pairs pairs = scratch_.attention.take_pairs();
    if (pairs.seen > 0)
      trace.attention_kept = static_cast<double>(pairs.kept) / static_cast<double>(pairs.seen);
    if (!done) {
      cache.rollback_step();
      return fail(ErrorCode::kCancelled, "stopped before the first token");
    }
    if (input.only_choose) {
      cache.rollback_step();
      return {};
    }
    model_.logits(pass.top_rows(input.n_logit_rows), input.n_logit_rows, logits.data(), scratch_,
                  Team::all(pool_));
    if (!all_finite(logits.first(input.n_logit_rows * model_.config.n_vocab))) {
      cache.rollback_step();
      return fail(
          ErrorCode::kInvalidFile,
          "the model computes logits that are no finite numbers; its file is damaged or was made wrongly");
    }
    cache.save_for_revival(pass.saved_for_revival());
  } catch (const std::bad_alloc&) {
    cache.rollback_step();
    return fail(ErrorCode::kOutOfMemory,
                "not enough memory for a prompt of this length; shorten it or use fewer "
                "context tokens");
  }
  cache.commit_step(input.tokens.size());
  return {};
}

}  // namespace lazyfill
