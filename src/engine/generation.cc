#include "base/out_of_memory.h"
#include "engine/answer.h"
#include "engine/sampling.h"

namespace lazyfill {
namespace {

template <class Fn>
Result<Generation> or_no_memory(Fn fn) {
  return guard_memory(fn, [] { return "not enough memory for this prompt and its answer; shorten it"; });
}

// One call of generate(): prefill, then token after token.
class Run {
 public:
  Run(Session::Impl& session, const GenerateOptions& options, const Callbacks& callbacks)
      : s_(session), callbacks_(callbacks), answer_(session, options, callbacks) {}

  Result<Generation> run(std::span<const int32_t> new_tokens) {
    Session::Impl::State before = s_.state();
    s_.cache.begin_call();
    Result<Generation> result = or_no_memory([&]() -> Result<Generation> {
      if (auto done = compute(new_tokens); !done) return tl::unexpected(done.error());
      return answer_.finish();
    });
    if (!s_.cache.is_in_call()) {  // a stream has forgotten tokens, so nothing is undone
      if (!result) s_.drop_uncomputed();
    } else if (!result) {
      s_.cache.undo_call();
      s_.restore(std::move(before));
    } else {
      s_.cache.end_call();
    }
    return result;
  }

 private:
  Result<void> compute(std::span<const int32_t> new_tokens) {
    if (auto begun = answer_.begin(new_tokens); !begun) return begun;
    do {
      auto trace = step();
      if (!trace && trace.error().code == ErrorCode::kCancelled && answer_.has_prefilled()) {
        answer_.stop();
        return {};
      }
      if (!trace) return tl::unexpected(trace.error());
      answer_.took(std::move(*trace));
    } while (answer_.choose());
    return {};
  }

  Result<SessionTrace> step() {
    if (!answer_.has_drafts()) return s_.step(keep_going_, callbacks_.stop);
    SequenceStep sequence = answer_.begin_step(callbacks_.stop, 1);
    Step step(s_.engine.model, {&sequence, 1});
    if (!s_.executor->decode(step, sequence.tokens.size(), keep_going_))
      return fail(ErrorCode::kCancelled, "stopped before the first token");
    auto trace = answer_.end_step(sequence);
    if (!trace) return tl::unexpected(trace.error());
    return SessionTrace{.step = std::move(*trace)};
  }

  bool report(const Progress& progress) {
    if (callbacks_.on_progress && !answer_.has_tokens()) callbacks_.on_progress(progress);
    return !callbacks_.stop.stop_requested();
  }

  struct KeepGoing {
    Run* run;
    bool operator()(const Progress& progress) const { return run->report(progress); }
  };

  Session::Impl& s_;
  const Callbacks& callbacks_;
  Answer answer_;
  KeepGoing keep_going_{this};
};

}  // namespace

Result<Generation> Session::generate(std::span<const int32_t> new_tokens, const GenerateOptions& options,
                                     const Callbacks& callbacks) {
  if (auto checked = impl_->engine.check_tokens(options.forced_tokens); !checked)
    return tl::unexpected(checked.error());
  if (auto checked = check_sampling(options.sampling, impl_->engine.info.n_tokens); !checked)
    return tl::unexpected(checked.error());
  if (auto checked = check_drafts(options, impl_->is_stream()); !checked)
    return tl::unexpected(checked.error());
  if (impl_->uncomputed().size() + new_tokens.size() == 0)
    return fail(ErrorCode::kInvalidArgument, "the prompt is empty; give at least one token");
  return or_no_memory([&] { return Run(*impl_, options, callbacks).run(new_tokens); });
}

}  // namespace lazyfill
