#include <chrono>

#include "engine/engine_impl.h"
#include "engine/sampling.h"
#include "engine/text_stream.h"
#include "pruning/policy.h"

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
        engine_(*session.engine),
        options_(options),
        callbacks_(callbacks),
        text_(*engine_.tokenizer, options.stop),
        random_(options.sampling.seed != 0 ? options.sampling.seed : std::random_device{}()),
        logits_(engine_.model.config.n_vocab) {}

  Result<Generation> run(std::span<const int32_t> new_tokens) {
    const size_t n_before = s_.tokens.size();
    s_.tokens.insert(s_.tokens.end(), new_tokens.begin(), new_tokens.end());
    auto prefilled = prefill();
    if (!prefilled) {
      s_.tokens.resize(n_before);
      return tl::unexpected(prefilled.error());
    }
    auto decoded = decode();
    if (!decoded) return tl::unexpected(decoded.error());
    finish();
    return std::move(result_);
  }

 private:
  Result<void> prefill() {
    result_.prompt_token_ids = s_.tokens;
    auto resolved = engine_.resolve(s_.lazy, s_.tokens.size());
    if (!resolved) return tl::unexpected(resolved.error());
    schedule_ = std::move(resolved->stages);
    lazy_ = std::move(resolved->lazy);
    result_.lazy.choice = std::move(resolved->choice);
    StepTrace trace;
    const bool is_first = s_.cache.n_tokens() == 0;
    n_cached_prompt_ = s_.tokens.size();
    auto done = leaves(Leaves::kPrompt) && !schedule_.empty() ? filtered_step(is_first, trace)
                                                              : step(trace, is_first);
    if (!done) return done;
    result_.timings.prefill_ms = ms_since(start_);
    count_computed(trace);
    result_.lazy_used = !schedule_.empty();
    result_.lazy.schedule = schedule_;
    result_.lazy.attention_kept = trace.attention_kept;
    for (StageTrace& stage : trace.stages) result_.lazy.kept.push_back(std::move(stage.kept));
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
      StepTrace trace;
      if (auto done = step(trace, false); !done) {
        if (done.error().code != ErrorCode::kCancelled) return done;
        result_.finish_reason = FinishReason::kCancelled;
        return {};
      }
      count_computed(trace);
    }
    return {};
  }

  void count_computed(const StepTrace& trace) {
    if (trace.stages.empty() || leaves(Leaves::kPrompt)) return;
    std::vector<size_t>& counts = result_.lazy.computed_by_step.emplace_back();
    for (const StageTrace& stage : trace.stages) counts.push_back(stage.n_prompt_rows);
  }

  // Leaves::kPrompt: a first pass up to the stage's layer chooses tokens; the session forgets the others, and
  // the model starts again with those alone. Later turns are plain additions.
  Result<void> filtered_step(bool is_first, StepTrace& trace) {
    if (!is_first) return plain_step(trace);
    StepInput input{s_.tokens, std::span(schedule_).first(1), &lazy_, s_.tokens.size(), 1, keep_going_};
    input.only_choose = true;
    if (auto done = engine_.runner->run(input, s_.cache, logits_, trace); !done) return done;
    const std::vector<StageTrace> chosen = std::move(trace.stages);
    std::vector<int32_t> tokens;
    for (int32_t position : chosen.front().kept) tokens.push_back(s_.tokens[static_cast<size_t>(position)]);
    s_.tokens = std::move(tokens);
    n_cached_prompt_ = s_.tokens.size();
    auto done = plain_step(trace);
    trace.stages = chosen;
    return done;
  }

  Result<void> plain_step(StepTrace& trace) {
    const StepInput input{std::span<const int32_t>(s_.tokens).subspan(s_.cache.n_tokens()),
                          {},
                          &lazy_,
                          s_.tokens.size(),
                          1,
                          keep_going_};
    return engine_.runner->run(input, s_.cache, logits_, trace);
  }

  // All tokens that are not in the cache yet.
  Result<void> step(StepTrace& trace, bool is_first) {
    if (leaves(Leaves::kPrompt)) return plain_step(trace);
    const std::span<const int32_t> new_tokens =
        std::span<const int32_t>(s_.tokens).subspan(s_.cache.n_tokens());
    const std::vector<int32_t> voters = voters_among(new_tokens);
    StepInput input{new_tokens, schedule_, &lazy_, result_.prompt_token_ids.size(), 1, keep_going_, voters};
    if (leaves(Leaves::kColumns)) {
      input.schedule = {};
      input.eviction = is_first && !schedule_.empty() ? &schedule_.front() : nullptr;
    }
    auto done = engine_.runner->run(input, s_.cache, logits_, trace);
    result_.lazy.revived_rows += trace.n_revived;
    return done;
  }

  // Positions of the new tokens that vote. A control token has no text.
  std::vector<int32_t> voters_among(std::span<const int32_t> new_tokens) const {
    if (policy_info(lazy_).voters != Voters::kWords || schedule_.empty()) return {};
    std::vector<uint8_t> is_control(new_tokens.size());
    for (size_t i = 0; i < new_tokens.size(); ++i)
      is_control[i] = engine_.tokenizer->piece(new_tokens[i], false).empty() ? 1 : 0;
    std::vector<int32_t> voters;
    for (size_t i : choose_voters(lazy_, is_control))
      voters.push_back(static_cast<int32_t>(s_.cache.n_tokens() + i));
    return voters;
  }

  bool leaves(Leaves what) const { return policy_info(lazy_).leaves == what; }

  int32_t choose(size_t n) {
    if (callbacks_.on_logits) callbacks_.on_logits(logits_);
    if (options_.n_top_logprobs > 0)
      result_.top_logprobs.push_back(top_logprobs(logits_, options_.n_top_logprobs));
    if (n < options_.forced_tokens.size()) return options_.forced_tokens[n];
    return sample(logits_, options_.sampling, random_);
  }

  // False when this token was the last.
  bool take(int32_t token) {
    s_.tokens.push_back(token);
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
    result_.timings.total_ms = ms_since(start_);
    result_.timings.decode_ms = result_.timings.total_ms - result_.timings.ttft_ms;
    result_.lazy.computed_fraction = computed_fractions();
    result_.memory = {engine_.model.weights.packed_bytes(), s_.cache.kv_bytes(), s_.cache.aux_bytes()};
  }

  std::vector<double> computed_fractions() const {
    std::vector<double> fractions;
    const size_t n_prompt = result_.prompt_token_ids.size();
    for (size_t layer = 0; layer < engine_.model.config.n_layers; ++layer) {
      size_t n_computed = was_whole(layer) ? n_prompt : 0;
      for (size_t position = 0; n_computed < n_prompt && position < n_cached_prompt_; ++position) {
        n_computed += s_.cache.columns(layer).has(static_cast<int32_t>(position)) ? 1 : 0;
      }
      fractions.push_back(static_cast<double>(n_computed) / static_cast<double>(n_prompt));
    }
    return fractions;
  }

  // Rivals compute tokens at this layer and forget them: what is in the cache says too little.
  bool was_whole(size_t layer) const {
    return leaves(Leaves::kColumns) ||
           (leaves(Leaves::kPrompt) && !schedule_.empty() && layer <= schedule_.front().layer);
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
  Engine::Impl& engine_;
  const GenerateOptions& options_;
  const Callbacks& callbacks_;
  TextStream text_;
  std::mt19937_64 random_;
  std::vector<float> logits_;  // [n_vocab] of the last row
  std::vector<ScheduleStage> schedule_;
  LazyOptions lazy_;            // with the policy that is used
  size_t n_cached_prompt_ = 0;  // prompt tokens that the session holds: all but those that left the prompt
  KeepGoing keep_going_{this};
  Clock::time_point start_ = Clock::now();
  Generation result_;
};

Result<void> check_tokens(std::span<const int32_t> tokens, size_t n_vocab) {
  for (int32_t token : tokens) {
    if (token < 0 || static_cast<size_t>(token) >= n_vocab) {
      return fail(ErrorCode::kInvalidArgument, "token id " + std::to_string(token) +
                                                   " does not exist; this model has ids from 0 to " +
                                                   std::to_string(n_vocab - 1));
    }
  }
  return {};
}

}  // namespace

Session::Session(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Session::Session(Session&&) noexcept = default;
Session& Session::operator=(Session&&) noexcept = default;
Session::~Session() = default;

const std::vector<int32_t>& Session::tokens() const {
  return impl_->tokens;
}

Result<Generation> Session::generate(std::span<const int32_t> new_tokens, const GenerateOptions& options,
                                     const Callbacks& callbacks) {
  const ModelConfig& config = impl_->engine->model.config;
  for (const auto& tokens : {new_tokens, std::span<const int32_t>(options.forced_tokens)}) {
    if (auto checked = check_tokens(tokens, config.n_vocab); !checked) return tl::unexpected(checked.error());
  }
  const size_t n_prompt = impl_->tokens.size() + new_tokens.size();
  const size_t capacity = impl_->cache.capacity_tokens();
  if (n_prompt == impl_->cache.n_tokens()) {
    return fail(ErrorCode::kInvalidArgument, "the prompt is empty; give at least one token");
  }
  if (n_prompt > capacity) {
    std::string advice = "shorten it by " + std::to_string(n_prompt - capacity) + " tokens";
    if (capacity < config.context_length && n_prompt <= config.context_length) {
      advice += " or raise the context (--ctx; this model takes up to " +
                std::to_string(config.context_length) + ")";
    }
    return fail(ErrorCode::kContextExceeded, "the prompt has " + std::to_string(n_prompt) +
                                                 " tokens but the context holds " + std::to_string(capacity) +
                                                 "; " + advice);
  }
  return Run(*impl_, options, callbacks).run(new_tokens);
}

Result<void> Session::rewind(size_t n_tokens) {
  if (n_tokens > impl_->tokens.size()) {
    return fail(ErrorCode::kInvalidArgument, "cannot rewind to " + std::to_string(n_tokens) +
                                                 " tokens: there are " +
                                                 std::to_string(impl_->tokens.size()));
  }
  impl_->tokens.resize(n_tokens);
  impl_->cache.truncate(n_tokens);
  return {};
}

Result<void> Session::set_lazy(const LazyOptions& lazy) {
  auto stages = impl_->engine->resolve(lazy, impl_->cache.capacity_tokens());
  if (!stages) return tl::unexpected(stages.error());
  impl_->lazy = lazy;
  return {};
}

}  // namespace lazyfill
