// A step takes new rows in at layer 0 and carries them up the layers; in a layer, once its columns are
// stored, rows leave (are pruned) or come back (are revived from the Aux Cache); at the top the last rows
// give logits. Prefill, a decode step, the next chat turn and a second question are all this one step.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/thread_pool.h"
#include "cache/sequence_cache.h"
#include "lazyfill/error.h"
#include "lazyfill/types.h"
#include "model/layer.h"
#include "model/model.h"
#include "model/rope_table.h"
#include "pruning/revival_budget.h"

namespace lazyfill {

struct StepInput {
  std::span<const int32_t> tokens;          // new ones, at positions cache.n_tokens() and on; not empty
  std::span<const ScheduleStage> schedule;  // by layer; empty: dense
  const LazyOptions* lazy = nullptr;        // policy and its switches; may be null with an empty schedule
  size_t prompt_end = 0;                    // positions from here on are generated tokens
  size_t n_logit_rows = 1;                  // logits of the last so many rows; more than 1 only when dense
  // Asked between two blocks of rows; false stops the step. On one thread at a time, not always the caller's.
  FunctionRef<bool(const Progress&)> keep_going;
  // Voters::kWords: positions of the new tokens whose attention counts, ascending, the last token among them.
  // Empty: the last token alone.
  std::span<const int32_t> voters = {};
  // Leaves::kColumns, first step: after this step's dense pass, each global layer from the stage's on keeps
  // only the columns that the stage chooses. Null: none leaves.
  const ScheduleStage* eviction = nullptr;
  // Leaves::kPrompt: end after the first stage of the schedule, which then tells in the trace what it kept.
  // No logits, and the cache stays as it was.
  bool only_choose = false;
};

// What happened at one stage of the schedule.
struct StageTrace {
  size_t layer = 0;
  std::vector<int32_t> kept;     // positions, ascending
  std::vector<int32_t> revived;  // positions that came back from this layer's Aux Cache
  size_t n_prompt_rows = 0;      // prompt tokens that this step carries to the layers above
};

struct StepTrace {
  std::vector<StageTrace> stages;  // one a stage of the schedule, in order
  size_t n_revived = 0;            // all layers together
  double attention_kept = 1;       // of the pairs of row and column that sparse attention could see
};

// Runs steps over caches of one model; holds the working memory between them. One step at a time.
class StepRunner {
 public:
  StepRunner(const Model& model, ThreadPool& pool);

  // logits: [n_logit_rows, n_vocab]. When the step is stopped (kCancelled) or memory runs out, the cache is
  // as it was before. The caller has checked token ids and capacity.
  Result<void> run(const StepInput& input, SequenceCache& cache, std::span<float> logits, StepTrace& trace);

 private:
  class Pass;

  DecodeBytes decode_bytes(const SequenceCache& cache) const;

  const Model& model_;
  ThreadPool& pool_;
  const double step_bytes_;   // of weights that a decode step reads
  const double layer_bytes_;  // of these in a layer, mean
  LayerScratch scratch_;
  std::vector<RopeTable> ropes_;
  Buffer<float> hidden_;                    // [n_rows, d_model]
  Buffer<float> q_;                         // [n_rows, q_dim]
  Buffer<float> exact_columns_;             // keys and values: [2, n_kv_heads, n_rows, head_dim]
  Buffer<float> revived_hidden_;            // [n_revived, d_model]
  Buffer<float> revived_q_;                 // [n_revived, q_dim]
  std::vector<float> revived_angles_;       // [n_revived, rope_dim]
  std::vector<std::vector<float>> angles_;  // one a rope: [n_rows, rope_dim]
  std::vector<int32_t> slots_;              // [n_candidates]
  std::vector<ColumnRange> ranges_;         // [n_rows]
};

}  // namespace lazyfill
