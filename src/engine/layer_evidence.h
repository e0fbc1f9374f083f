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
  std::vector<float> mean_over_rows(const AttentionTask& task) const;

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
