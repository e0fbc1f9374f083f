#include "engine/rivals.h"

#include <cassert>
#include <utility>
#include <vector>

#include "pruning/policy.h"

namespace lazyfill {
namespace {

class Rival {
 public:
  Rival(Session::Impl& session, FunctionRef<bool(const Progress&)> keep_going, const std::stop_token& stop)
      : s_(session), keep_going_(keep_going), stop_(stop), voters_(session.voters()) {}

  // The whole model computes every token.
  Result<SessionTrace> step_dense() { return step_by(dense()); }

  // Every layer computes every token of the prompt, and then keeps the columns that the stage chooses.
  Result<SessionTrace> step_and_evict() {
    Plan plan = dense();
    if (chooses()) plan.eviction = &s_.plan.stages.front();
    auto done = step_by(plan);
    if (done) done->n_whole_layers = s_.engine.model.config.n_layers;
    return done;
  }

  // A first pass up to the stage's layer chooses tokens; the session forgets the others, and the model starts
  // again with those alone. What comes later is a plain addition.
  Result<SessionTrace> step_filtered() {
    if (!chooses()) return step_dense();
    Plan choosing = dense();
    choosing.schedule = std::span(s_.plan.stages).first(1);
    choosing.only_choose = true;
    auto chosen = s_.step_by(choosing, keep_going_, stop_);
    if (!chosen) return tl::unexpected(chosen.error());
    FewerTokens fewer(s_, chosen->stages.front().kept);
    auto done = step_dense();
    if (!done) return done;
    fewer.stay();
    done->n_whole_layers = s_.plan.stages.front().layer + 1;
    done->filter = std::move(chosen->stages);
    return done;
  }

 private:
  // The session holds the tokens at these positions only; on the way out, unless they are to stay, all again.
  class FewerTokens {
   public:
    FewerTokens(Session::Impl& session, const std::vector<int32_t>& positions)
        : s_(session), prompt_end_(session.prompt_end) {
      std::vector<int32_t> kept;
      for (int32_t position : positions) kept.push_back(s_.tokens[static_cast<size_t>(position)]);
      all_ = std::exchange(s_.tokens, std::move(kept));
      s_.prompt_end = s_.tokens.size();
    }
    ~FewerTokens() {
      if (stay_) return;
      s_.tokens = std::move(all_);
      s_.prompt_end = prompt_end_;
    }
    FewerTokens(const FewerTokens&) = delete;
    FewerTokens& operator=(const FewerTokens&) = delete;
    void stay() { stay_ = true; }

   private:
    Session::Impl& s_;
    size_t prompt_end_;
    std::vector<int32_t> all_;
    bool stay_ = false;
  };

  // Only a session's first prompt is chosen from.
  bool chooses() const { return s_.is_first_step() && !s_.plan.stages.empty(); }

  Plan dense() const {
    return {.schedule = {}, .lazy = &s_.plan.lazy, .prompt_end = s_.prompt_end, .voters = voters_};
  }

  Result<SessionTrace> step_by(const Plan& plan) {
    auto trace = s_.step_by(plan, keep_going_, stop_);
    if (!trace) return tl::unexpected(trace.error());
    return SessionTrace{.step = std::move(*trace)};
  }

  Session::Impl& s_;
  FunctionRef<bool(const Progress&)> keep_going_;
  const std::stop_token& stop_;
  std::vector<TokenIndex> voters_;
};

}  // namespace

Result<SessionTrace> step_of_rival(Session::Impl& session, FunctionRef<bool(const Progress&)> keep_going,
                                   const std::stop_token& stop) {
  Rival rival(session, keep_going, stop);
  switch (policy_info(session.plan.lazy).leaves) {
    case Leaves::kColumns:
      return rival.step_and_evict();
    case Leaves::kPrompt:
      return rival.step_filtered();
    case Leaves::kRows:
      break;
  }
  assert(false);
  return rival.step_dense();
}

}  // namespace lazyfill
