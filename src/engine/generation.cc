#include <new>

#include "engine/answer.h"
#include "engine/sampling.h"

namespace lazyfill {
namespace {

// One call of generate(): prefill, then token after token.
class Run {
 public:
  Run(Session::Impl& session, const GenerateOptions& options, const Callbacks& callbacks)
      : s_(session), callbacks_(callbacks), answer_(session, options, callbacks) {}

  Result<Generation> run(std::span<const int32_t> new_tokens) {
    Session::Impl::State before = s_.state();
    s_.cache.begin_call();
    auto done = compute(new_tokens);
    if (!done) {
      s_.cache.undo_call();
      s_.restore(std::move(before));
      return tl::unexpected(done.error());
    }
    s_.cache.end_call();
    return answer_.finish();
  }

 private:
  Result<void> compute(std::span<const int32_t> new_tokens) {
    try {
      if (auto begun = answer_.begin(new_tokens); !begun) return begun;
      do {
        auto trace = s_.step(keep_going_, callbacks_.stop);
        if (!trace && trace.error().code == ErrorCode::kCancelled && answer_.has_prefilled()) {
          answer_.stop();
          return {};
        }
        if (!trace) return tl::unexpected(trace.error());
        answer_.took(std::move(*trace));
      } while (answer_.choose());
      return {};
    } catch (const std::bad_alloc&) {
      return fail(ErrorCode::kOutOfMemory, "not enough memory for this prompt and its answer; shorten it");
    }
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
  if (impl_->tokens.size() + new_tokens.size() == impl_->cache.n_tokens())
    return fail(ErrorCode::kInvalidArgument, "the prompt is empty; give at least one token");
  return Run(*impl_, options, callbacks).run(new_tokens);
}

}  // namespace lazyfill
