// One answer on its way, from its prompt to its text: what to compute next and what became of it. Who makes
// the steps, and beside whose, is another's business: Session::generate() makes them alone, the scheduler
// beside those of others.
#pragma once

#include <chrono>
#include <optional>
#include <span>
#include <vector>

#include "engine/drafting.h"
#include "engine/guided.h"
#include "engine/session_impl.h"
#include "engine/text_stream.h"

namespace lazyfill {

class Answer {
 public:
  using Clock = std::chrono::steady_clock;

  // All three outlive it. Of the callbacks on_progress and stop are left to who makes the steps. Times count
  // from `asked` on.
  Answer(Session::Impl& session, const GenerateOptions& options, const Callbacks& callbacks,
         Clock::time_point asked = Clock::now());

  // The session's new tokens are a prompt, which has a plan now; the next step computes it.
  Result<void> begin(std::span<const int32_t> new_tokens);
  // The next step, once the prompt is computed: the newest token, with drafts where they are asked for. It is
  // made in the company of n_sequences in all.
  SequenceStep begin_step(std::stop_token stop, size_t n_sequences);
  // What a step did that was made elsewhere.
  Result<StepTrace> end_step(SequenceStep& step);
  // A step has ended well: the prompt's, or that of the newest token.
  void took(SessionTrace trace);
  // Chooses tokens from the logits that the step gave: one, and those that drafts have guessed. True: the
  // newest one is to be computed in another step.
  bool choose();
  // Ended by its caller: has what it has so far.
  void stop() { result_.finish_reason = FinishReason::kCancelled; }
  void note(const PrefixReport& prefix) { result_.prefix = prefix; }
  // The rest of the text, and everything.
  Generation finish();

  bool has_prefilled() const { return has_prefilled_; }
  bool has_drafts() const { return drafting_.has_value(); }
  size_t n_chosen() const { return n_chosen_; }
  bool has_tokens() const { return !result_.token_ids.empty(); }

 private:
  double ms() const { return std::chrono::duration<double, std::milli>(Clock::now() - start_).count(); }
  void took_prompt(SessionTrace& trace);
  bool with_logprobs() const { return options_.with_logprobs || options_.n_top_logprobs > 0; }
  bool choose_one();
  int32_t next_token();
  int32_t drawn();
  bool take(int32_t token);
  std::vector<double> computed_fractions() const;

  Session::Impl& s_;
  const Engine::Impl& engine_;
  const GenerateOptions& options_;
  const Callbacks& callbacks_;
  TextStream text_;
  std::optional<Drafting> drafting_;  // once the prompt is computed
  std::optional<Guided> guided_;
  bool has_prefilled_ = false;
  size_t n_chosen_ = 0;
  size_t n_whole_layers_ = 0;
  size_t n_cached_prompt_ = 0;  // prompt tokens that the session holds: all but those that left the prompt
  Clock::time_point start_;
  Generation result_;
};

}  // namespace lazyfill
