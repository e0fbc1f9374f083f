#include <algorithm>
#include <string>

#include "base/common_prefix.h"
#include "base/out_of_memory.h"
#include "engine/rivals.h"
#include "engine/sampling.h"
#include "engine/session_impl.h"
#include "pruning/policy.h"

namespace lazyfill {
namespace {

template <class Fn>
Result<void> or_out_of_memory(Fn fn) {
  return guard_memory(fn, [] { return "not enough memory for a prompt of this length; shorten it"; });
}

}  // namespace

Session::Impl::Impl(std::shared_ptr<Executor::Impl> of_executor, LazyOptions options,
                    const SequenceCache::Shape& shape)
    : executor(std::move(of_executor)), engine(*executor->engine), lazy(std::move(options)), cache(shape) {}

Result<void> Session::Impl::append(std::span<const int32_t> new_tokens, Origin origin) {
  if (auto checked = engine.check_tokens(new_tokens); !checked) return checked;
  if (new_tokens.empty()) return {};
  // The last token of an answer need not be computed.
  const size_t most = most_tokens() + (origin == Origin::kGenerated ? 1 : 0);
  const size_t begin = n_tokens();
  if (begin + new_tokens.size() > most) return exceeded(begin + new_tokens.size());
  tokens.insert(tokens.end(), new_tokens.begin(), new_tokens.end());
  if (origin == Origin::kGiven) note_prompt(begin);
  has_logits = false;
  return {};
}

void Session::Impl::note_prompt(size_t begin) {
  if (!is_new_prompt) {
    prompt_begin = begin;
    earlier_prompt_end = prompt_end;
  }
  prompt_end = n_tokens();
  is_new_prompt = true;
}

Result<void> Session::Impl::append_prompt(std::span<const int32_t> new_tokens) {
  if (auto appended = append(new_tokens, Origin::kGiven); !appended) return appended;
  if (n_tokens() > most_tokens()) return exceeded(n_tokens());
  note_prompt(cache.n_tokens());
  return {};
}

Session::Impl::State Session::Impl::state() const {
  return {tokens,        let_go,       has_logits ? logits : nullptr,
          random,        seed,         prompt_end,
          is_new_prompt, prompt_begin, earlier_prompt_end,
          plan};
}

void Session::Impl::restore(State state) {
  tokens = std::move(state.tokens);
  let_go = state.let_go;
  has_logits = state.logits != nullptr;
  if (has_logits) logits = std::move(state.logits);
  random = state.random;
  seed = state.seed;
  prompt_end = state.prompt_end;
  is_new_prompt = state.is_new_prompt;
  prompt_begin = state.prompt_begin;
  earlier_prompt_end = state.earlier_prompt_end;
  plan = std::move(state.plan);
}

tl::unexpected<Error> Session::Impl::exceeded(size_t n_tokens) const {
  if (is_stream()) {
    return fail(ErrorCode::kContextExceeded,
                "the stream ends after " + std::to_string(most_tokens()) + " tokens; begin another one");
  }
  const size_t capacity = cache.capacity_tokens();
  const size_t most = engine.model.config.context_length;
  std::string advice = "shorten it by " + std::to_string(n_tokens - capacity) + " tokens";
  if (capacity < most && n_tokens <= most)
    advice += " or raise the context (--ctx; this model takes up to " + std::to_string(most) + ")";
  return fail(ErrorCode::kContextExceeded, "the prompt has " + std::to_string(n_tokens) +
                                               " tokens but the context holds " + std::to_string(capacity) +
                                               "; " + advice);
}

Result<void> Session::Impl::resolve() {
  if (!is_new_prompt) return {};
  auto resolved = engine.resolve(lazy, cache.n_held() + uncomputed().size());
  if (!resolved) return tl::unexpected(resolved.error());
  plan = std::move(*resolved);
  if (is_stream()) {
    if (auto planned = plan_stream(); !planned) return planned;
  }
  is_new_prompt = false;
  return {};
}

std::vector<TokenIndex> Session::Impl::voters() const {
  if (plan.stages.empty() || policy_info(plan.lazy).voters != Voters::kWords) return {};
  const std::span<const int32_t> added = uncomputed();
  std::vector<uint8_t> is_control(added.size());  // it has no text
  for (size_t i = 0; i < added.size(); ++i)
    is_control[i] = engine.tokenizer->piece(added[i], false).empty() ? 1 : 0;
  std::vector<TokenIndex> voters;
  for (size_t i : choose_voters(plan.lazy, is_control))
    voters.push_back(static_cast<TokenIndex>(cache.n_tokens() + i));
  return voters;
}

Result<SessionTrace> Session::Impl::step(FunctionRef<bool(const Progress&)> keep_going,
                                         const std::stop_token& stop) {
  if (policy_info(plan.lazy).leaves != Leaves::kRows) return step_of_rival(*this, keep_going, stop);
  SessionTrace all;
  const auto n_all = static_cast<double>(uncomputed().size());
  do {  // a stream reads a long prompt in several steps
    const auto n_left = static_cast<double>(uncomputed().size());
    const auto n_now = static_cast<double>(next_rows());
    const auto of_all = [&](Progress progress) {
      progress.fraction = (n_all - n_left + progress.fraction * n_now) / n_all;
      return keep_going(progress);
    };
    auto trace = step_by(next_plan(), of_all, stop);
    if (!trace) return tl::unexpected(trace.error());
    trace->n_revived += all.step.n_revived;
    all.step = std::move(*trace);
  } while (!uncomputed().empty());
  if (is_stream() && plan.stages.empty()) all.n_whole_layers = engine.model.config.n_layers;
  return all;
}

Plan Session::Impl::next_plan() {
  voting = voters();
  return {plan.stages, &plan.lazy, prompt_end, voting};
}

Result<StepTrace> Session::Impl::step_by(const Plan& other, FunctionRef<bool(const Progress&)> keep_going,
                                         const std::stop_token& stop) {
  SequenceStep sequence = begin_step(other, stop);
  Step step(engine.model, {&sequence, 1});
  if (!executor->advance(step, keep_going))
    return fail(ErrorCode::kCancelled, "stopped before the first token");
  return end_step(sequence);
}

SequenceStep Session::Impl::begin_step(const Plan& by, std::stop_token stop) {
  has_logits = false;
  if (logits == nullptr || logits.use_count() > 1)
    logits = std::make_shared<std::vector<float>>(engine.model.config.n_vocab);
  if (is_stream()) make_room();
  return {.cache = cache,
          .tokens = uncomputed().first(next_rows()),
          .plan = by,
          .logits = *logits,
          .stop = std::move(stop)};
}

SequenceStep Session::Impl::begin_dense_step(size_t end, std::stop_token stop) {
  SequenceStep step = begin_step({.prompt_end = prompt_end}, std::move(stop));
  step.tokens = step.tokens.first(end - cache.n_tokens());
  return step;
}

Result<StepTrace> Session::Impl::end_step(SequenceStep& sequence) {
  if (!sequence.result) return tl::unexpected(sequence.result.error());
  const bool is_last = sequence.commits_itself || uncomputed().empty();  // of a stream's pieces
  has_logits = !sequence.plan.only_choose && is_last;
  return std::move(sequence.trace);
}

int32_t Session::Impl::draw_from(std::span<const float> some_logits, const SamplingOptions& options) {
  // A new seed begins anew; the same one goes on drawing.
  const uint64_t wanted = options.seed != 0 ? options.seed : (seed != 0 ? seed : std::random_device{}());
  if (wanted != seed) random.seed(wanted);
  seed = wanted;
  std::span<const float> row = some_logits;
  std::vector<float> adjusted;
  if (adjusts_logits(options)) {
    adjusted.assign(row.begin(), row.end());
    adjust_logits(adjusted, options,
                  {.tokens = tokens,
                   .n_prompt = prompt_end - std::min(prompt_end, let_go.size()),
                   .piece = [this](int32_t id) { return engine.tokenizer->piece(id, true); }});
    row = adjusted;
  }
  return lazyfill::sample(row, options, random);
}

Session::Session(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Session::Session(Session&&) noexcept = default;
Session& Session::operator=(Session&&) noexcept = default;
Session::~Session() = default;

const std::vector<int32_t>& Session::tokens() const {
  return impl_->tokens;
}

size_t Session::n_tokens() const {
  return impl_->n_tokens();
}

std::span<const float> Session::logits() const {
  return impl_->has_logits ? std::span<const float>(*impl_->logits) : std::span<const float>();
}

std::shared_ptr<const std::vector<float>> Session::shared_logits() const {
  return impl_->has_logits ? impl_->logits : nullptr;
}

Result<size_t> Session::sync(std::span<const int32_t> tokens) {
  if (tokens.empty())
    return fail(ErrorCode::kInvalidArgument, "the prompt is empty; give at least one token");
  if (auto checked = impl_->engine.check_tokens(tokens); !checked) return tl::unexpected(checked.error());
  if (tokens.size() > impl_->most_tokens()) return impl_->exceeded(tokens.size());
  size_t n_kept = std::min(impl_->n_agreeing(tokens), tokens.size() - 1);
  if (!impl_->can_rewind(n_kept)) n_kept = 0;  // a stream reads all of it again
  auto reserved = or_out_of_memory([&]() -> Result<void> {
    impl_->tokens.reserve(tokens.size());  // the last that can fail, before anything has changed
    return {};
  });
  if (!reserved) return tl::unexpected(reserved.error());
  if (auto rewound = rewind(n_kept); !rewound) return tl::unexpected(rewound.error());
  if (auto appended = append(tokens.subspan(n_kept)); !appended) return tl::unexpected(appended.error());
  return n_kept;
}

Result<void> Session::append(std::span<const int32_t> tokens, Origin origin) {
  return or_out_of_memory([&] { return impl_->append(tokens, origin); });
}

Result<void> Session::step(const Callbacks& callbacks) {
  Impl& s = *impl_;
  if (s.uncomputed().empty()) {
    return fail(ErrorCode::kInvalidArgument, "there is no token to compute; append() or sample() one first");
  }
  if (s.n_tokens() > s.most_tokens()) return s.exceeded(s.n_tokens());
  const auto keep_going = [&](const Progress& progress) {
    if (callbacks.on_progress) callbacks.on_progress(progress);
    return !callbacks.stop.stop_requested();
  };
  const bool is_new_prompt = s.is_new_prompt;
  ResolvedLazy plan_before;
  Result<void> done = or_out_of_memory([&]() -> Result<void> {
    if (is_new_prompt) plan_before = s.plan;
    if (auto resolved = s.resolve(); !resolved) return resolved;
    auto trace = s.step(keep_going, callbacks.stop);
    if (!trace) return tl::unexpected(trace.error());
    return {};
  });
  // The prompt is still new: its plan is made when it is computed, by the options of then.
  if (!done && is_new_prompt && !s.is_new_prompt) {
    s.is_new_prompt = true;
    s.plan = std::move(plan_before);
  }
  return done;
}

Result<int32_t> Session::sample(const SamplingOptions& options) {
  if (!impl_->has_logits)
    return fail(ErrorCode::kInvalidArgument, "there are no logits to draw from; call step() first");
  if (impl_->n_tokens() > impl_->most_tokens()) return impl_->exceeded(impl_->n_tokens());
  if (auto checked = check_sampling(options, impl_->engine.info.n_tokens); !checked)
    return tl::unexpected(checked.error());
  int32_t token = 0;
  auto drawn = or_out_of_memory([&]() -> Result<void> {
    token = impl_->draw(options);
    return impl_->append({&token, 1}, Origin::kGenerated);
  });
  if (!drawn) return tl::unexpected(drawn.error());
  return token;
}

Result<void> Session::rewind(size_t n_tokens) {
  Impl& s = *impl_;
  if (n_tokens > s.n_tokens()) {
    return fail(ErrorCode::kInvalidArgument, "cannot rewind to " + std::to_string(n_tokens) +
                                                 " tokens: there are " + std::to_string(s.n_tokens()));
  }
  if (n_tokens == s.n_tokens()) return {};
  if (!s.can_rewind(n_tokens)) {
    return fail(ErrorCode::kInvalidArgument,
                "cannot rewind to " + std::to_string(n_tokens) +
                    " tokens: the stream has forgotten what came before them; give it the text again");
  }
  if (n_tokens == 0) s.let_go = {};
  s.tokens.resize(n_tokens - s.let_go.size());
  s.cache.truncate(n_tokens);
  s.has_logits = false;
  if (s.is_new_prompt && n_tokens <= s.prompt_begin) {  // as if it had never been given
    s.is_new_prompt = false;
    s.prompt_end = s.earlier_prompt_end;
  }
  s.prompt_end = std::min(s.prompt_end, n_tokens);
  return {};
}

Result<void> Session::set_lazy(const LazyOptions& lazy) {
  auto stages = impl_->engine.resolve(lazy, impl_->cache.capacity_tokens());
  if (!stages) return tl::unexpected(stages.error());
  if (impl_->cache.was_evicted() && policy_info(lazy).leaves != Leaves::kColumns) {
    return fail(ErrorCode::kInvalidArgument,
                "this session has dropped columns for good, which its policy knows how to do without and "
                "another one does not; rewind it to its beginning, or start another session");
  }
  if (impl_->is_stream()) {
    const StreamOptions stream{impl_->cache.shape().n_pinned, impl_->cache.shape().window_tokens};
    if (auto checked = check_stream(impl_->engine, stream, lazy, impl_->cache.context_tokens()); !checked)
      return checked;
  }
  impl_->lazy = lazy;
  return {};
}

}  // namespace lazyfill
