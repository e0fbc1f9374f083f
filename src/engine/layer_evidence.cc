#include "engine/layer_evidence.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "kernels/reference/attention.h"

namespace lazyfill {
namespace {

// The part of a task that one query head computes: its own queries, and the kv head that it shares.
AttentionTask head_of(const AttentionTask& task, size_t head, const float* q) {
  const AttentionShape& shape = task.shape;
  const size_t kv_head = head / (shape.n_heads / shape.n_kv_heads);
  const size_t offset = kv_head * task.columns.capacity * column_bytes(task.columns.type, shape.head_dim);
  AttentionTask own = task;
  own.shape.n_heads = 1;
  own.shape.n_kv_heads = 1;
  own.columns.keys += offset;
  own.columns.values += offset;
  own.q = q;
  return own;
}

}  // namespace

LayerEvidence::LayerEvidence(const Kernels& kernels, Team team, AttentionScratch& scratch,
                             const AttentionTask& seen, std::vector<VotingRow> voters)
    : kernels_(kernels), team_(team), scratch_(scratch), seen_(seen), voters_(std::move(voters)) {
  n_heads = seen.shape.n_heads;
  n_kv_heads = seen.shape.n_kv_heads;
}

bool LayerEvidence::sees_sinks() const {
  return std::any_of(voters_.begin(), voters_.end(), [](const VotingRow& v) { return v.sink_q != nullptr; });
}

std::vector<ColumnRange> LayerEvidence::ranges() const {
  std::vector<ColumnRange> ranges;
  for (const VotingRow& voter : voters_) ranges.push_back(voter.range);
  return ranges;
}

// [n_rows, head_dim]
std::vector<float> LayerEvidence::queries_of(size_t head) const {
  const size_t head_dim = seen_.shape.head_dim;
  std::vector<float> q;
  for (const VotingRow& voter : voters_) {
    const float* own = voter.q + head * head_dim;
    q.insert(q.end(), own, own + head_dim);
  }
  return q;
}

// Of a task whose queries are those of all voters, one row each: [n].
std::vector<float> LayerEvidence::mean_over_rows(const AttentionTask& task) const {
  const std::vector<ColumnRange> seen = ranges();
  AttentionTask voting = task;
  voting.ranges = seen.data();
  voting.n_rows = voters_.size();
  std::vector<float> probs(voters_.size() * task.list.n);  // [n_rows, n]
  mean_attention_probs(kernels_, voting, probs.data(), team_, scratch_);
  return mean_of_rows(std::move(probs));
}

// [n_rows, n] -> [n]
std::vector<float> LayerEvidence::mean_of_rows(std::vector<float> probs) const {
  const size_t n_rows = voters_.size();
  const size_t n = seen_.list.n;
  for (size_t row = 1; row < n_rows; ++row) {
    for (size_t i = 0; i < n; ++i) probs[i] += probs[row * n + i];
  }
  probs.resize(n);
  // Weights of a broken file can give NaN.
  for (float& value : probs) value = value >= 0 ? value / static_cast<float>(n_rows) : 0;
  return probs;
}

// Of one query head, where rows see sinks too: each of the two softmaxes has the share of all that its sum
// says.
std::vector<float> LayerEvidence::mean_in_pieces(size_t head) const {
  const size_t n = seen_.list.n;
  const size_t head_dim = seen_.shape.head_dim;
  std::vector<float> all(voters_.size() * n);  // [n_rows, n]
  for (size_t row = 0; row < voters_.size(); ++row) {
    const VotingRow& voter = voters_[row];
    const bool has_sinks = voter.sink_q != nullptr && voter.sinks.end > voter.sinks.begin;
    std::vector<float> probs[2] = {std::vector<float>(n), std::vector<float>(n)};
    std::vector<float> sums(head_dim + 2);  // a partial softmax
    double mass[2] = {};                    // natural logarithm of the sum of exponentials
    for (size_t piece = 0; piece < (has_sinks ? 2 : 1); ++piece) {
      AttentionTask own = head_of(seen_, head, (piece == 0 ? voter.q : voter.sink_q) + head * head_dim);
      own.ranges = piece == 0 ? &voter.range : &voter.sinks;
      own.n_rows = 1;
      own.alone = true;
      mean_attention_probs(kernels_, own, probs[piece].data(), team_, scratch_);
      Buffer<std::byte> room;
      kernels_.attend_partial(own, 0, 1, {0, static_cast<uint32_t>(n)}, sums.data(), room);
      mass[piece] = sums[head_dim] + std::log(sums[head_dim + 1]);
    }
    const auto share = static_cast<float>(has_sinks ? 1 / (1 + std::exp(mass[1] - mass[0])) : 1);
    for (size_t i = 0; i < n; ++i) all[row * n + i] = share * probs[0][i] + (1 - share) * probs[1][i];
  }
  return mean_of_rows(std::move(all));
}

std::span<const float> LayerEvidence::attention() {
  if (!attention_.empty()) return attention_;
  if (sees_sinks()) {
    const std::span<const float> by_head = attention_by_head();
    attention_.resize(seen_.list.n);
    for (size_t i = 0; i < by_head.size(); ++i)
      attention_[i % seen_.list.n] += by_head[i] / static_cast<float>(n_heads);
    return attention_;
  }
  const size_t q_dim = seen_.shape.n_heads * seen_.shape.head_dim;
  std::vector<float> q;  // [n_rows, q_dim]
  for (const VotingRow& voter : voters_) q.insert(q.end(), voter.q, voter.q + q_dim);
  AttentionTask task = seen_;
  task.q = q.data();
  attention_ = mean_over_rows(task);
  return attention_;
}

std::span<const float> LayerEvidence::attention_by_head() {
  const bool in_pieces = sees_sinks();
  for (size_t head = 0; head < n_heads && by_head_.size() < n_heads * seen_.list.n; ++head) {
    const std::vector<float> q = queries_of(head);
    const std::vector<float> attention =
        in_pieces ? mean_in_pieces(head) : mean_over_rows(head_of(seen_, head, q.data()));
    by_head_.insert(by_head_.end(), attention.begin(), attention.end());
  }
  return by_head_;
}

std::span<const float> LayerEvidence::value_norms() {
  if (!value_norms_.empty()) return value_norms_;
  const ColumnsView& columns = seen_.columns;
  const ColumnList& list = seen_.list;
  const size_t head_dim = seen_.shape.head_dim;
  const size_t bytes = column_bytes(columns.type, head_dim);
  std::vector<float> value(head_dim);
  value_norms_.reserve(n_kv_heads * list.n);
  for (size_t kv_head = 0; kv_head < n_kv_heads; ++kv_head) {
    for (size_t i = 0; i < list.n; ++i) {
      const size_t slot = static_cast<size_t>(list.slots != nullptr ? list.slots[i] : list.first) +
                          (list.slots != nullptr ? 0 : i);
      reference::load_column(columns.type, columns.values + (kv_head * columns.capacity + slot) * bytes,
                             head_dim, value.data());
      double sum = 0;
      for (float x : value) sum += static_cast<double>(x) * static_cast<double>(x);
      value_norms_.push_back(static_cast<float>(std::sqrt(sum)));
    }
  }
  return value_norms_;
}

}  // namespace lazyfill
