#include "engine/step.h"

#include <algorithm>
#include <bit>
#include <new>
#include <numeric>
#include <utility>

#include "kernels/attention.h"
#include "pruning/policy.h"
#include "pruning/schedule.h"

namespace lazyfill {

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
        is_first_step_(cache.n_tokens() == 0) {}

  bool run() {
    begin();
    size_t stage = 0;
    for (size_t layer = 0; layer < config_.n_layers; ++layer) {
      if (!carry_up(layer)) return false;
      if (layer + 1 == config_.n_layers) break;
      if (stage < input_.schedule.size()) collect_votes(layer, input_.schedule[stage].layer);
      if (stage < input_.schedule.size() && input_.schedule[stage].layer == layer)
        prune(input_.schedule[stage++]);
      if (input_.only_choose && stage > 0) break;
      revive(layer);
      count_prompt_rows(layer);
    }
    return true;
  }

  // The last n rows after the last layer.
  const float* top_rows(size_t n) const { return r_.hidden_.data() + (rows_.size() - n) * config_.d_model; }

 private:
  void begin() {
    const size_t n = input_.tokens.size();
    rows_.resize(n);
    std::iota(rows_.begin(), rows_.end(), first_new_);
    candidates_.resize(cache_.n_tokens() + n);
    std::iota(candidates_.begin(), candidates_.end(), 0);
    rows_changed();
    estimate_work();
  }

  bool carry_up(size_t layer) {
    LayerColumns& columns = cache_.columns(layer);
    const std::vector<int32_t> all = without_evicted(columns);
    const bool done = carry_up(layer, columns);
    if (done && input_.eviction != nullptr) evict(layer, columns);
    if (!all.empty()) candidates_ = all;
    return done;
  }

  // kSnapKv keeps other columns in every layer: the candidates of this layer are those that it still has, and
  // the new rows. Returns the candidates as they were, to be put back; empty when they did not change.
  std::vector<int32_t> without_evicted(const LayerColumns& columns) {
    if (input_.lazy == nullptr || input_.lazy->policy != Policy::kSnapKv || is_first_step_) return {};
    std::vector<int32_t> all = candidates_;
    std::erase_if(candidates_,
                  [&](int32_t position) { return position < first_new_ && !columns.has(position); });
    return all;
  }

  void evict(size_t layer, LayerColumns& columns) {
    if (layer < input_.eviction->layer || config_.layers[layer].window > 0) return;
    const LazyOptions& lazy = *input_.lazy;
    const std::vector<float> attention = mean_attention(layer, newest_rows(voting_rows(lazy)));
    const std::vector<uint8_t> computed(candidates_.size(), 1);
    std::vector<int32_t> kept;
    for (uint32_t index :
         choose_kept(lazy, *input_.eviction, {candidates_, attention, computed, true}, input_.prompt_end)) {
      kept.push_back(candidates_[index]);
    }
    columns.keep_only(kept);
  }

  bool carry_up(size_t layer, LayerColumns& columns) {
    Segment segment;
    segment.row_end = rows_.size();
    segment.column_type = columns.type();
    segment.keys = columns.keys();
    segment.values = columns.values();
    segment.capacity = columns.capacity();
    segment.first_new_slot = columns.append(rows_);
    segment.visible = columns.list(candidates_, r_.slots_);
    find_ranges(config_.layers[layer].window);
    segment.ranges = r_.ranges_.data();

    Rows rows;
    rows.n_rows = rows_.size();
    rows.hidden = r_.hidden_.data();
    rows.angles = r_.angles_[config_.layers[layer].rope].data();
    rows.q = r_.q_.data();
    rows.segments = {&segment, 1};
    if (input_.lazy != nullptr && config_.layers[layer].window == 0)
      rows.attention_mass = input_.lazy->attention_mass;
    const bool is_last = layer + 1 == config_.n_layers;
    rows.first_output_row = is_last ? rows_.size() - input_.n_logit_rows : 0;

    visible_ = segment.visible;
    auto keep_going = [&](size_t thread, double layer_fraction) {
      return report(layer, thread, layer_fraction);
    };
    const LayerContext context{config_, *r_.model_.kernels, r_.pool_, r_.scratch_, keep_going};
    const bool done = forward(context, r_.model_.weights.layers[layer], rows);
    work_done_ += layer_work_[layer];
    return done;
  }

  // What each row sees of the candidates: up to itself, and within the window.
  void find_ranges(size_t window) {
    r_.ranges_.resize(rows_.size());
    uint32_t begin = 0;
    uint32_t end = 0;
    const auto first_above = [&](int32_t position, uint32_t from) {
      const auto at = std::upper_bound(candidates_.begin() + from, candidates_.end(), position);
      return static_cast<uint32_t>(at - candidates_.begin());
    };
    for (size_t i = 0; i < rows_.size(); ++i) {
      end = first_above(rows_[i], end);
      if (window > 0) begin = first_above(rows_[i] - static_cast<int32_t>(window), begin);
      r_.ranges_[i] = {begin, end};
    }
  }

  // Rows and candidates that the policy does not keep leave; a row's state goes to the Aux Cache.
  void prune(const ScheduleStage& stage) {
    const LazyOptions& lazy = *input_.lazy;
    std::vector<float> attention = std::exchange(votes_, {});
    if (attention.empty() && needs_attention(lazy, is_first_step_))
      attention = mean_attention(stage.layer, newest_rows(voting_rows(lazy)));
    const LayerColumns& next = cache_.columns(stage.layer + 1);
    std::vector<uint8_t> computed_next(candidates_.size());
    for (size_t i = 0; i < candidates_.size(); ++i) {
      computed_next[i] = candidates_[i] >= first_new_ || next.has(candidates_[i]);
    }
    const bool is_decode = first_new_ >= static_cast<int32_t>(input_.prompt_end);
    const Candidates choice{candidates_, attention, computed_next, is_first_step_,
                            is_decode ? lazy.max_revived : kReviveAll};
    const std::vector<uint32_t> kept = choose_kept(lazy, stage, choice, input_.prompt_end);

    std::vector<int32_t> kept_positions;
    kept_positions.reserve(kept.size());
    for (uint32_t index : kept) kept_positions.push_back(candidates_[index]);
    drop_rows_outside(kept_positions, stage.layer);
    candidates_ = kept_positions;
    trace_.stages.push_back({stage.layer, std::move(kept_positions), {}, 0});
  }

  // kFocus: adds this layer's attention to the votes for the next stage, where the layer is near enough to
  // it. A sliding-window layer has no say: it sees the newest tokens only.
  void collect_votes(size_t layer, size_t stage_layer) {
    const LazyOptions& lazy = *input_.lazy;
    if (lazy.policy != Policy::kFocus || stage_layer - layer >= lazy.score_layers) return;
    if (config_.layers[layer].window > 0) return;
    const std::vector<float> votes = mean_attention(layer, rows_at(input_.voters));
    votes_.resize(votes.size());
    for (size_t i = 0; i < votes.size(); ++i) votes_[i] += votes[i];
  }

  // The last n rows that are new in this step, fewer where there are fewer.
  std::vector<size_t> newest_rows(size_t n) const {
    const size_t n_new =
        static_cast<size_t>(rows_.end() - std::lower_bound(rows_.begin(), rows_.end(), first_new_));
    std::vector<size_t> newest(std::min(n, n_new));
    std::iota(newest.begin(), newest.end(), rows_.size() - newest.size());
    return newest;
  }

  // The rows at these positions, as far as they were not dropped by an earlier stage.
  std::vector<size_t> rows_at(std::span<const int32_t> positions) const {
    std::vector<size_t> found;
    for (int32_t position : positions) {
      const auto row = std::lower_bound(rows_.begin(), rows_.end(), position);
      if (row != rows_.end() && *row == position) found.push_back(static_cast<size_t>(row - rows_.begin()));
    }
    return found.empty() ? newest_rows(1) : found;
  }

  // Mean over the voting rows (not empty) of their attention at this layer: [n_candidates].
  std::vector<float> mean_attention(size_t layer, std::span<const size_t> voters) {
    const size_t n_voters = voters.size();
    const size_t n = candidates_.size();
    const size_t q_dim = config_.q_dim();
    r_.voter_q_.ensure(n_voters * q_dim);
    std::vector<ColumnRange> ranges;
    for (size_t voter : voters) {
      std::copy_n(r_.q_.data() + voter * q_dim, q_dim, r_.voter_q_.data() + ranges.size() * q_dim);
      ranges.push_back(r_.ranges_[voter]);
    }
    LayerColumns& columns = cache_.columns(layer);
    AttentionTask task;
    task.shape = config_.attention_shape();
    task.columns = {columns.type(), columns.keys(), columns.values(), columns.capacity()};
    task.list = visible_;
    task.q = r_.voter_q_.data();
    task.ranges = ranges.data();
    task.n_rows = n_voters;
    r_.scores_.ensure(n_voters * n);
    mean_attention_probs(*r_.model_.kernels, task, r_.scores_.data(), Team::all(r_.pool_),
                         r_.scratch_.attention);
    std::vector<float> mean(r_.scores_.data(), r_.scores_.data() + n);
    for (size_t voter = 1; voter < n_voters; ++voter) {
      for (size_t i = 0; i < n; ++i) mean[i] += r_.scores_[voter * n + i];
    }
    for (float& value : mean) value /= static_cast<float>(n_voters);
    // Weights of a broken file can give NaN, by which nothing can be sorted; run() refuses the logits.
    for (float& value : mean) value = value >= 0 ? value : 0;
    return mean;
  }

  void drop_rows_outside(std::span<const int32_t> kept, size_t layer) {
    const size_t d_model = config_.d_model;
    float* hidden = r_.hidden_.data();
    size_t n_stay = 0;
    for (size_t i = 0; i < rows_.size(); ++i) {
      if (!std::binary_search(kept.begin(), kept.end(), rows_[i])) {
        cache_.aux(layer).put(rows_[i], hidden + i * d_model);
        continue;
      }
      if (n_stay != i) std::copy_n(hidden + i * d_model, d_model, hidden + n_stay * d_model);
      rows_[n_stay++] = rows_[i];
    }
    if (n_stay == rows_.size()) return;
    rows_.resize(n_stay);
    rows_changed();
  }

  // Candidates that were dropped after this layer in an earlier step, and are wanted now, become rows again.
  void revive(size_t layer) {
    AuxCache* aux = cache_.find_aux(layer);
    if (aux == nullptr || aux->size() == 0) return;
    std::vector<int32_t> revived;
    for (int32_t position : candidates_) {
      if (aux->has(position)) revived.push_back(position);
    }
    if (revived.empty()) return;
    merge_rows(revived, *aux);
    trace_.n_revived += revived.size();
    if (!trace_.stages.empty() && trace_.stages.back().layer == layer) trace_.stages.back().revived = revived;
    rows_changed();
  }

  void count_prompt_rows(size_t layer) {
    if (trace_.stages.empty() || trace_.stages.back().layer != layer) return;
    const auto end = std::lower_bound(rows_.begin(), rows_.end(), static_cast<int32_t>(input_.prompt_end));
    trace_.stages.back().n_prompt_rows = static_cast<size_t>(end - rows_.begin());
  }

  // From the back, so that each state moves once: revived positions are older than most rows.
  void merge_rows(std::span<const int32_t> revived, AuxCache& aux) {
    const size_t d_model = config_.d_model;
    size_t old_row = rows_.size();
    size_t n_left = revived.size();
    rows_.resize(old_row + n_left);
    Buffer<float> wider;
    if (rows_.size() * d_model > r_.hidden_.size()) {
      wider = Buffer<float>(rows_.size() * d_model);
      std::copy_n(r_.hidden_.data(), old_row * d_model, wider.data());
      std::swap(wider, r_.hidden_);
    }
    float* hidden = r_.hidden_.data();
    for (size_t i = rows_.size(); n_left > 0;) {
      --i;
      if (old_row > 0 && rows_[old_row - 1] > revived[n_left - 1]) {
        --old_row;
        rows_[i] = rows_[old_row];
        std::copy_n(hidden + old_row * d_model, d_model, hidden + i * d_model);
      } else {
        --n_left;
        rows_[i] = revived[n_left];
        aux.take(revived[n_left], hidden + i * d_model);
      }
    }
  }

  // Makes room and angles for the rows as they are now.
  void rows_changed() {
    r_.q_.ensure(rows_.size() * config_.q_dim());
    for (size_t i = 0; i < r_.ropes_.size(); ++i) {
      r_.angles_[i].resize(rows_.size() * config_.rope_dim);
      r_.ropes_[i].gather(rows_, cache_.capacity_tokens(), r_.angles_[i].data());
    }
  }

  // Work of each layer as rows times what a row costs there: enough for a progress bar. Revived rows, which
  // nobody can foresee, are left out.
  void estimate_work() {
    const double per_row =
        2.0 * static_cast<double>(config_.d_model) * (2 * config_.q_dim() + 2 * config_.kv_dim()) +
        6.0 * static_cast<double>(config_.d_model) * static_cast<double>(config_.d_ff) *
            static_cast<double>(std::max<size_t>(config_.n_experts_used, 1));
    double n_rows = static_cast<double>(rows_.size());
    double n_candidates = static_cast<double>(candidates_.size());
    size_t stage = 0;
    layer_work_.resize(config_.n_layers);
    for (size_t layer = 0; layer < config_.n_layers; ++layer) {
      const double seen = n_candidates - n_rows / 2;
      layer_work_[layer] = n_rows * (per_row + 4.0 * static_cast<double>(config_.q_dim()) * seen);
      if (stage >= input_.schedule.size() || input_.schedule[stage].layer != layer) continue;
      const double kept =
          static_cast<double>(kept_count(input_.schedule[stage], static_cast<size_t>(n_candidates)));
      n_rows *= kept / n_candidates;
      n_candidates = kept;
      ++stage;
    }
    total_work_ = std::accumulate(layer_work_.begin(), layer_work_.end(), 0.0);
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
  std::vector<int32_t> rows_;        // positions being computed
  std::vector<int32_t> candidates_;  // positions that rows may see
  ColumnList visible_;               // the candidates' columns at the layer that was computed last
  std::vector<float> votes_;         // [n_candidates] for the next stage; empty: none collected
  std::vector<double> layer_work_;   // [n_layers]
  double total_work_ = 1;
  double work_done_ = 0;
  std::atomic<bool> stopped_{false};
};

namespace {

// By the bits and to the end, so that the compiler makes vectors of it: a vocabulary is read for every token.
bool all_finite(std::span<const float> values) {
  constexpr uint32_t kExponent = 0x7f800000U;
  bool found = false;
  for (const float value : values) found |= (std::bit_cast<uint32_t>(value) & kExponent) == kExponent;
  return !found;
}

}  // namespace

StepRunner::StepRunner(const Model& model, ThreadPool& pool)
    : model_(model), pool_(pool), scratch_(pool.n_threads()), angles_(model.config.ropes.size()) {
  for (const RopeConfig& rope : model.config.ropes) ropes_.emplace_back(rope);
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
