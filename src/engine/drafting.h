// Drafts of one answer: which rows a step gets beside the newest token, and which of them the model takes.
#pragma once

#include <memory>
#include <span>
#include <stop_token>
#include <vector>

#include "base/buffer.h"
#include "decoding/drafter.h"
#include "engine/session_impl.h"

namespace lazyfill {

class Drafting {
 public:
  // Most rows of a step: as many as are asked for, or as many as may pay.
  static size_t most_rows(const GenerateOptions& options);

  // The session, which outlives it, has computed its prompt.
  Drafting(Session::Impl& session, const GenerateOptions& options);

  // A step of the newest token with drafts behind it, in the company of n_sequences in all. n_wanted: tokens
  // that the answer may still get. Without memory for drafts there are none.
  SequenceStep begin_step(std::stop_token stop, size_t n_wanted, size_t n_sequences);
  // The step has ended well: the session has the logits of its newest token.
  void took(const SequenceStep& step);
  // The answer took this token from the session's logits. True: it is a draft of the step, whose logits are
  // the session's now.
  bool follow(int32_t token);
  // The answer took what it could: so much of the step stays, and the drafters learn from all of it.
  void commit();
  void roll_back();

  const DraftReport& report() const { return report_; }

 private:
  void propose(const DraftLimits& limits, size_t n_sequences);
  DraftTree proposal(const DraftLimits& limits, size_t n_sequences);
  void learn();
  std::span<const float> logits_of(size_t row) const;
  bool has_drafts() const { return tree_.n_drafts() > 0; }

  Session::Impl& s_;
  const size_t n_asked_;  // drafts a step; 0: as many as pay
  // Where tokens of the prompt are chosen in every step, the text depends on the drafts: then it has a memory
  // of its own, and no clock and no neighbour changes them.
  const bool is_apart_;
  std::shared_ptr<DraftMemory> memory_;
  std::vector<std::unique_ptr<Drafter>> drafters_;
  DraftTree tree_;                // of the step that is being made
  Buffer<float> logits_;          // [rows of the step, n_vocab], with drafts
  double saved_for_revival_ = 0;  // with drafts
  std::vector<size_t> taken_;     // rows of the step, ascending; the newest token's first
  size_t n_learned_;              // tokens of the session
  DraftReport report_;
};

}  // namespace lazyfill
