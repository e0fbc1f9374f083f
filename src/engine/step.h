// A step takes new rows of one or several sequences in at layer 0 and carries them up the layers; in a layer,
// once its columns are stored, rows leave (are pruned) or come back (are revived from the Aux Cache); at the
// top the newest rows give logits. Prefill, a decode step of many, the next chat turn, a second question and
// a draft are all this one step.
//
// A sequence's bits do not depend on the others: alone, in any company, put aside and taken up again, it
// computes the same. Nor does it fail with them: each commits or rolls back for itself.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <stop_token>
#include <vector>

#include "base/thread_pool.h"
#include "cache/sequence_cache.h"
#include "engine/row_set.h"
#include "engine/visibility.h"
#include "lazyfill/error.h"
#include "lazyfill/types.h"
#include "model/layer.h"
#include "model/model.h"

namespace lazyfill {

// Which tokens a sequence keeps in a step.
struct Plan {
  std::span<const ScheduleStage> schedule;  // by layer; empty: dense
  const LazyOptions* lazy = nullptr;        // policy and its switches; may be null with an empty schedule
  size_t prompt_end = 0;                    // tokens from here on are generated ones
  // Voters::kWords: the new tokens whose attention counts, ascending, the last token among them. Empty: the
  // last token alone.
  std::span<const TokenIndex> voters = {};
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

// What one sequence brings to a step, and what it gets. The caller has checked token ids and capacity.
struct SequenceStep {
  SequenceCache& cache;
  std::span<const int32_t> tokens;  // new ones, from index cache.n_tokens() on; not empty
  Plan plan;
  // [n_logit_rows, n_vocab] of the last so many new rows: 1, with drafts all of them, or several when dense.
  std::span<float> logits;
  size_t n_logit_rows = 1;
  // Drafts: every new token is computed as if it were the only one, and sees what was held before and its
  // ancestors. The first is the newest token of the text; [n_tokens], -1 for it. Logits of another one may
  // be no numbers where it is damaged.
  Parents parents = {};
  // The caller commits, or rolls back, after it has seen the logits: drafts.
  bool commits_itself = false;
  // Where it is stopped, the cache keeps the layers that are finished (SequenceCache::cut_layer()).
  bool keeps_progress = false;
  std::stop_token stop = {};

  StepTrace trace = {};
  double saved_for_revival = 0;  // with commits_itself: for the cache, once it has committed
  // kCancelled, kOutOfMemory, kInvalidFile; the cache is then as it was before, but for what keeps_progress
  // says.
  Result<void> result = {};
};

class SequencePass;

// What a thread pool computes with, kept from step to step.
struct Workspace {
  explicit Workspace(size_t n_threads) : pool(n_threads), scratch(pool.n_threads()) {}
  ThreadPool pool;
  LayerScratch scratch;
  Buffer<float> top_hidden;  // [rows at a time, d_model]
  Buffer<float> logits;      // [rows at a time, n_vocab]
};

class Step {
 public:
  // The sequences outlive the step. Errors of theirs, also of memory, are in their results.
  Step(const Model& model, std::span<SequenceStep> sequences);
  ~Step();
  Step(const Step&) = delete;
  Step& operator=(const Step&) = delete;

  // Computes until all is done (true), or until `keep_going`, which is asked between two blocks of rows, says
  // no: the step is then put aside, and the next call goes on where it was, with any workspace of as many
  // threads. keep_going is asked on the calling thread.
  bool advance(Workspace& workspace, FunctionRef<bool(const Progress&)> keep_going);

 private:
  // What comes next at the layer. kProject, kRevive and kAttend are passes over blocks of rows, which can be
  // put aside; the others lie between them.
  enum class Phase {
    kBegin,
    kEnter,
    kProject,
    kChoose,
    kRevive,
    kJoin,
    kTurn,
    kAttend,
    kLeave,
    kLogits,
    kDone
  };

  bool compute(Workspace& workspace, FunctionRef<bool(const Progress&)> keep_going);
  bool compute_rows(const LayerContext& context);
  void between_passes(Workspace& workspace);

  void begin();
  void choose(Workspace& workspace);
  void gather_revived();
  void join();
  void give_logits(Workspace& workspace);
  void logits_of(std::span<const size_t> batch, size_t n_rows, Workspace& workspace);
  void finish(size_t s);
  bool rows_are_finite(size_t s);

  Rows rows_now();
  Rows revived_rows_now();
  Progress progress(double layer_fraction) const;
  bool all_stopped() const;
  void end_stopped();
  void leave_off(size_t s);
  void drop_ended();
  void roll_back(size_t s, Result<void> result);
  // Calls fn(pass) for every sequence that is still in; one that runs out of memory ends.
  template <class Fn>
  void for_each_pass(Fn fn);

  const Model& model_;
  const ModelConfig& config_;
  std::span<SequenceStep> sequences_;
  std::vector<std::unique_ptr<SequencePass>> passes_;  // [sequences]; null: it has ended
  RowSet rows_;
  RowSet revived_;
  std::vector<NewColumns> new_columns_;  // at this layer
  std::vector<View> views_;              // likewise
  size_t layer_ = 0;
  Phase phase_ = Phase::kBegin;
  size_t n_blocks_done_ = 0;   // of the phase
  bool rows_changed_ = false;  // at this layer, after its columns were stored
  bool any_ended_ = false;     // a sequence whose rows are still here
  double work_done_ = 0;
  double total_work_ = 1;
};

}  // namespace lazyfill
