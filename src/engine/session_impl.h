// What stands behind the public Session: one sequence and the small steps by which it grows.
#pragma once

#include <memory>
#include <random>
#include <vector>

#include "cache/sequence_cache.h"
#include "engine/engine_impl.h"
#include "engine/stream.h"

namespace lazyfill {

// What computing a session's new tokens did.
struct SessionTrace {
  StepTrace step;
  // Rivals: the first layers that took in every token, of which the session holds fewer since; and the stage
  // that chose tokens before the step, the others being no part of the session.
  size_t n_whole_layers = 0;
  std::vector<StageTrace> filter = {};
};

struct Session::Impl {
  Impl(std::shared_ptr<Executor::Impl> of_executor, LazyOptions options, const SequenceCache::Shape& shape);

  std::shared_ptr<Executor::Impl> executor;
  const Engine::Impl& engine;
  LazyOptions lazy;
  SequenceCache cache;
  std::vector<int32_t> tokens;  // [n_tokens() - let_go.size()] given and generated, computed or not
  TokensLetGo let_go;           // of a stream, that are not kept
  // [n_vocab] of the last token, where has_logits. A step writes where nobody else looks.
  std::shared_ptr<std::vector<float>> logits;
  bool has_logits = false;  // it is computed
  std::mt19937_64 random;
  uint64_t seed = 0;  // that `random` began with; 0: it has not begun

  // Of the latest prompt; `prompt_end` tokens are no answer to it.
  size_t prompt_end = 0;
  bool is_new_prompt = false;  // not computed yet
  // Where a new prompt begins, and what prompt_end was before it: rewind() may take it back.
  size_t prompt_begin = 0;
  size_t earlier_prompt_end = 0;
  ResolvedLazy plan;
  std::vector<TokenIndex> voting;  // of the step that is being made

  // All of the above but the cache: what a call that fails puts back.
  struct State {
    std::vector<int32_t> tokens;
    TokensLetGo let_go;
    std::shared_ptr<std::vector<float>> logits;  // null: there are none
    std::mt19937_64 random;
    uint64_t seed;
    size_t prompt_end;
    bool is_new_prompt;
    size_t prompt_begin;
    size_t earlier_prompt_end;
    ResolvedLazy plan;
  };
  State state() const;
  void restore(State state);

  Result<void> append(std::span<const int32_t> new_tokens, Origin origin);
  // What is not computed yet is a prompt, which ends here.
  void note_prompt(size_t begin);
  // The new tokens, and any that are not computed yet, are a prompt.
  Result<void> append_prompt(std::span<const int32_t> new_tokens);
  // The plan for a prompt that is to be computed.
  Result<void> resolve();
  // Computes the tokens that are not computed yet, by the plan.
  Result<SessionTrace> step(FunctionRef<bool(const Progress&)> keep_going, const std::stop_token& stop);
  // The plan of the next step; counts until the one after it is asked for.
  Plan next_plan();
  // One step by the given one.
  Result<StepTrace> step_by(const Plan& other, FunctionRef<bool(const Progress&)> keep_going,
                            const std::stop_token& stop);
  // The same in two, for a step that is made elsewhere; the tokens stay as they are in between.
  SequenceStep begin_step(const Plan& by, std::stop_token stop);
  // Of the tokens before `end` alone, by the whole model.
  SequenceStep begin_dense_step(size_t end, std::stop_token stop);
  Result<StepTrace> end_step(SequenceStep& sequence);
  int32_t draw(const SamplingOptions& options) {
    return draw_from(std::span<const float>(*logits).first(engine.info.n_tokens), options);
  }
  int32_t draw_from(std::span<const float> some_logits, const SamplingOptions& options);
  // The new tokens that vote where the policy asks for several.
  std::vector<TokenIndex> voters() const;
  tl::unexpected<Error> exceeded(size_t n_tokens) const;
  bool is_first_step() const { return cache.n_tokens() == 0; }
  size_t n_tokens() const { return let_go.size() + tokens.size(); }

  // --- what is different in a stream (stream.cc) ---

  bool is_stream() const { return cache.shape().window_tokens > 0; }
  size_t most_tokens() const;
  std::span<const int32_t> uncomputed() const;
  // Of those, how many the next step takes.
  size_t next_rows() const;
  // Forgets what the next step does not see.
  void make_room();
  bool can_rewind(size_t n_tokens) const;
  // How many tokens the session and the text begin with, as far as is known.
  size_t n_agreeing(std::span<const int32_t> text) const;
  // A call has failed that cannot be undone.
  void drop_uncomputed();
  Result<void> plan_stream();
};

}  // namespace lazyfill
