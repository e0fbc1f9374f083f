// Who votes, who stays and how many may come back: the choices of one sequence in one step. Pure: what it
// looks at comes as Evidence and lists, and what it decides goes out as indices.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "cache/vote_memory.h"
#include "lazyfill/policies.h"
#include "pruning/revival_budget.h"

namespace lazyfill {

class Selection {
 public:
  // first_new: the step's own tokens begin there. prompt_end: positions from there on are generated tokens.
  // Both the options and the schedule (by layer; empty: dense) must outlive it.
  Selection(const LazyOptions& options, std::span<const ScheduleStage> schedule, int32_t first_new,
            size_t prompt_end);

  // The stage that is chosen for next; null: none is left.
  const ScheduleStage* next_stage() const;

  // Whether what the layer sees counts for the next stage. A sliding-window layer (sees_all false) has no
  // say: it sees the newest tokens only.
  bool votes_at(size_t layer, bool sees_all) const;
  // Which of the rows vote, as indices. rows: all of the sequence, ascending; words: the new tokens that
  // choose_voters() named, as far as an earlier stage has not dropped them.
  std::vector<size_t> voters(std::span<const int32_t> rows, std::span<const int32_t> words) const;
  // Takes a layer's votes. Until choose(), always of the same tokens.
  void vote(Evidence& evidence);

  // At the next stage's layer, once all have voted.
  struct Ballot {
    std::span<const int32_t> positions;      // [n] candidates, ascending
    std::span<const uint8_t> computed_next;  // [n] as in Candidates
    VoteMemory* memory = nullptr;            // of this stage's layer
    RevivalBudget* budget = nullptr;
    size_t n_revived_rows = 0;  // that came back at layers below
  };
  // Who stays: ascending indices. The stage after it is next.
  std::vector<uint32_t> choose(const Ballot& ballot);

  // Leaves::kColumns: which columns a layer keeps at the end of the first step. All of them are of new
  // tokens.
  std::vector<uint32_t> choose_columns(const ScheduleStage& stage, Evidence& evidence) const;

 private:
  bool is_first_step() const { return first_new_ == 0; }
  bool is_decode() const { return first_new_ >= static_cast<int32_t>(prompt_end_); }
  std::vector<float> votes_of(Evidence& evidence) const;
  std::optional<size_t> most_revived(const ScheduleStage& stage, const Ballot& ballot) const;

  const LazyOptions& options_;
  const PolicyInfo& policy_;
  std::span<const ScheduleStage> schedule_;
  int32_t first_new_;
  size_t prompt_end_;
  size_t stage_ = 0;          // the next one
  std::vector<float> votes_;  // [n] for the next stage; empty: none yet
};

}  // namespace lazyfill
