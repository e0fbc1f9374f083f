// What a policy may look at, at one layer of one sequence: computed by the kernels when it is asked for.
#pragma once

#include <vector>

#include "base/thread_pool.h"
#include "kernels/attention.h"
#include "lazyfill/policies.h"

namespace lazyfill {

struct VotingRow {
  const float* q = nullptr;  // [n_heads * head_dim], rotated
  ColumnRange range;         // of the columns, what it sees
  // Where it sees some with a query that is turned otherwise: that query, and those. Null: there are none.
  const float* sink_q = nullptr;
  ColumnRange sinks = {};
};

class LayerEvidence final : public Evidence {
 public:
  // seen: shape, columns and their list [n], one a position. All that is given must outlive the evidence.
  LayerEvidence(const Kernels& kernels, Team team, AttentionScratch& scratch, const AttentionTask& seen,
                std::vector<VotingRow> voters);

  std::span<const float> attention() override;
  std::span<const float> attention_by_head() override;
  std::span<const float> value_norms() override;

 private:
  bool sees_sinks() const;
  std::vector<ColumnRange> ranges() const;
  std::vector<float> queries_of(size_t head) const;
  std::vector<float> mean_over_rows(const AttentionTask& task) const;
  std::vector<float> mean_of_rows(std::vector<float> probs) const;
  std::vector<float> mean_in_pieces(size_t head) const;

  const Kernels& kernels_;
  Team team_;
  AttentionScratch& scratch_;
  const AttentionTask seen_;
  const std::vector<VotingRow> voters_;  // not empty
  std::vector<float> attention_;         // [n]
  std::vector<float> by_head_;           // [n_heads, n]
  std::vector<float> value_norms_;       // [n_kv_heads, n]
};

}  // namespace lazyfill
