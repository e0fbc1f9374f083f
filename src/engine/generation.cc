#include <chrono>
#include <new>

#include "engine/sampling.h"
#include "engine/session_impl.h"
#include "engine/text_stream.h"

namespace lazyfill {
namespace {

using Clock = std::chrono::steady_clock;

double ms_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

// One call of generate(): prefill, then token after token.
class Run {
 public:
  Run(Session::Impl& session, const GenerateOptions& options, const Callbacks& callbacks)
      : s_(session),
        engine_(session.engine),
        options_(options),
        callbacks_(callbacks),
        text_(*engine_.tokenizer, options.stop, options.show_special) {}

  Result<Generation> run(std::span<const int32_t> new_tokens) {
    Session::Impl::State before = s_.state();
    s_.cache.begin_call();
    s_.seed = 0;  // every answer begins anew
    auto done = compute(new_tokens);
    if (!done) {
      s_.cache.undo_call();
      s_.restore(std::move(before));
      return tl::unexpected(done.error());
    }
    s_.cache.end_call();
    finish();
    return std::move(result_);
  }

 private:
  Result<void> compute(std::span<const int32_t> new_tokens) {
    try {
      if (auto appended = s_.append_prompt(new_tokens); !appended) return appended;
      auto done = prefill();
      return done ? decode() : done;
    } catch (const std::bad_alloc&) {
      return fail(ErrorCode::kOutOfMemory, "not enough memory for this prompt and its answer; shorten it");
    }
  }

  Result<void> prefill() {
    result_.prompt_token_ids = s_.tokens;
    if (auto resolved = s_.resolve(); !resolved) return resolved;
    result_.lazy.choice = s_.plan.choice;
    auto trace = step();
    if (!trace) return tl::unexpected(trace.error());
    result_.timings.prefill_ms = ms_since(start_);
    n_cached_prompt_ = s_.tokens.size();
    n_whole_layers_ = trace->n_whole_layers;
    result_.lazy_used = !schedule().empty();
    result_.lazy.schedule = schedule();
    result_.lazy.attention_kept = trace->step.attention_kept;
    for (auto* stages : {&trace->filter, &trace->step.stages})
      for (StageTrace& stage : *stages) result_.lazy.kept.push_back(std::move(stage.kept));
    return {};
  }

  Result<void> decode() {
    for (size_t n = 0; n < options_.max_tokens; ++n) {
      const int32_t token = choose(n);
      if (n == 0) result_.timings.ttft_ms = ms_since(start_);
      if (options_.stop_at_end_token && options_.forced_tokens.empty() && engine_.tokenizer->is_end(token)) {
        result_.finish_reason = FinishReason::kStop;
        return {};
      }
      if (!take(token) || n + 1 == options_.max_tokens) return {};
      if (s_.tokens.size() > s_.cache.capacity_tokens()) return {};
      auto trace = step();
      if (!trace) {
        if (trace.error().code != ErrorCode::kCancelled) return tl::unexpected(trace.error());
        result_.finish_reason = FinishReason::kCancelled;
        return {};
      }
    }
    return {};
  }

  // All tokens that are not in the cache yet.
  Result<SessionTrace> step() {
    auto trace = s_.step(keep_going_, callbacks_.stop);
    if (!trace) return trace;
    result_.lazy.revived_rows += trace->step.n_revived;
    if (trace->step.stages.empty()) return trace;
    std::vector<size_t>& counts = result_.lazy.computed_by_step.emplace_back();
    for (const StageTrace& stage : trace->step.stages) counts.push_back(stage.n_prompt_rows);
    return trace;
  }

  const std::vector<ScheduleStage>& schedule() const { return s_.plan.stages; }

  int32_t choose(size_t n) {
    if (callbacks_.on_logits) callbacks_.on_logits(s_.logits);
    if (options_.n_top_logprobs > 0)
      result_.top_logprobs.push_back(top_logprobs(s_.logits, engine_.info.n_tokens, options_.n_top_logprobs));
    if (n < options_.forced_tokens.size()) return options_.forced_tokens[n];
    return s_.draw(options_.sampling);
  }

  // False when this token was the last.
  bool take(int32_t token) {
    s_.tokens.push_back(token);
    s_.has_logits = false;
    result_.token_ids.push_back(token);
    const std::string text = text_.push(token);
    result_.text += text;
    if (callbacks_.on_token && !callbacks_.on_token(token, text)) {
      result_.finish_reason = FinishReason::kCancelled;
      return false;
    }
    if (text_.stopped()) {
      result_.finish_reason = FinishReason::kStop;
      return false;
    }
    return true;
  }

  void finish() {
    const std::string rest = text_.finish();
    if (!rest.empty()) {
      result_.text += rest;
      if (callbacks_.on_token && !result_.token_ids.empty())
        callbacks_.on_token(result_.token_ids.back(), rest);
    }
    result_.plain_text = text_.plain();
    result_.timings.total_ms = ms_since(start_);
    result_.timings.decode_ms = result_.timings.total_ms - result_.timings.ttft_ms;
    result_.lazy.computed_fraction = computed_fractions();
    result_.memory = {engine_.model.weights.packed_bytes(), s_.cache.kv_bytes(), s_.cache.aux_bytes()};
  }

  std::vector<double> computed_fractions() const {
    std::vector<double> fractions;
    const size_t n_prompt = result_.prompt_token_ids.size();
    for (size_t layer = 0; layer < engine_.model.config.n_layers; ++layer) {
      // Rivals compute tokens and forget them: what is in the cache says too little.
      size_t n_computed = layer < n_whole_layers_ ? n_prompt : 0;
      for (size_t position = 0; n_computed < n_prompt && position < n_cached_prompt_; ++position) {
        n_computed += s_.cache.columns(layer).has(static_cast<int32_t>(position)) ? 1 : 0;
      }
      fractions.push_back(static_cast<double>(n_computed) / static_cast<double>(n_prompt));
    }
    return fractions;
  }

  bool report(const Progress& progress) {
    if (callbacks_.on_progress && result_.token_ids.empty()) callbacks_.on_progress(progress);
    return !callbacks_.stop.stop_requested();
  }

  struct KeepGoing {
    Run* run;
    bool operator()(const Progress& progress) const { return run->report(progress); }
  };

  Session::Impl& s_;
  const Engine::Impl& engine_;
  const GenerateOptions& options_;
  const Callbacks& callbacks_;
  TextStream text_;
  size_t n_whole_layers_ = 0;
  size_t n_cached_prompt_ = 0;  // prompt tokens that the session holds: all but those that left the prompt
  KeepGoing keep_going_{this};
  Clock::time_point start_ = Clock::now();
  Generation result_;
};

}  // namespace

Result<Generation> Session::generate(std::span<const int32_t> new_tokens, const GenerateOptions& options,
                                     const Callbacks& callbacks) {
  if (auto checked = impl_->engine.check_tokens(options.forced_tokens); !checked)
    return tl::unexpected(checked.error());
  if (impl_->tokens.size() + new_tokens.size() == impl_->cache.n_tokens())
    return fail(ErrorCode::kInvalidArgument, "the prompt is empty; give at least one token");
  return Run(*impl_, options, callbacks).run(new_tokens);
}

}  // namespace lazyfill
