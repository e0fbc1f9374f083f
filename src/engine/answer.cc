#include "engine/answer.h"

#include <algorithm>
#include <utility>

#include "engine/sampling.h"

namespace lazyfill {

Answer::Answer(Session::Impl& session, const GenerateOptions& options, const Callbacks& callbacks,
               Clock::time_point asked)
    : s_(session),
      engine_(session.engine),
      options_(options),
      callbacks_(callbacks),
      text_(*engine_.tokenizer, options.stop, options.show_special),
      start_(asked) {}

Result<void> Answer::begin(std::span<const int32_t> new_tokens) {
  result_.timings.queue_ms = ms();
  if (options_.guide.kind != GuideKind::kNone) {
    auto guide = engine_.guide(options_);
    if (!guide) return tl::unexpected(guide.error());
    guided_.emplace(*guide);
    if (options_.guide.kind == GuideKind::kLines)
      text_.show_middle(options_.guide.choices[0], options_.guide.choices[1]);
  }
  s_.seed = 0;  // every answer begins anew
  if (auto appended = s_.append_prompt(new_tokens); !appended) return appended;
  result_.prompt_token_ids = s_.tokens;
  if (auto resolved = s_.resolve(); !resolved) return resolved;
  result_.lazy.choice = s_.plan.choice;
  return {};
}

SequenceStep Answer::begin_step(std::stop_token stop, size_t n_sequences) {
  if (drafting_) return drafting_->begin_step(std::move(stop), options_.max_tokens - n_chosen_, n_sequences);
  return s_.begin_step(s_.next_plan(), std::move(stop));
}

Result<StepTrace> Answer::end_step(SequenceStep& step) {
  auto trace = s_.end_step(step);
  if (trace && drafting_) drafting_->took(step);
  return trace;
}

void Answer::took(SessionTrace trace) {
  result_.lazy.revived_rows += trace.step.n_revived;
  if (!trace.step.stages.empty()) {
    std::vector<size_t>& counts = result_.lazy.computed_by_step.emplace_back();
    for (const StageTrace& stage : trace.step.stages) counts.push_back(stage.n_prompt_rows);
  }
  if (!std::exchange(has_prefilled_, true)) took_prompt(trace);
}

void Answer::took_prompt(SessionTrace& trace) {
  result_.timings.prefill_ms = ms() - result_.timings.queue_ms;
  n_cached_prompt_ = s_.n_tokens();
  n_whole_layers_ = trace.n_whole_layers;
  result_.lazy_used = !s_.plan.stages.empty();
  result_.lazy.schedule = s_.plan.stages;
  result_.lazy.attention_kept = trace.step.attention_kept;
  for (auto* stages : {&trace.filter, &trace.step.stages})
    for (StageTrace& stage : *stages) result_.lazy.kept.push_back(std::move(stage.kept));
  if (options_.draft != Draft::kNone) drafting_.emplace(s_, options_);
  if (s_.is_stream()) result_.lazy.computed_fraction = computed_fractions();  // while the prompt is held
}

bool Answer::choose() {
  if (!drafting_) return choose_one();
  try {
    bool goes_on = choose_one();
    while (goes_on && drafting_->follow(s_.tokens.back())) goes_on = choose_one();
    drafting_->commit();
    return goes_on;
  } catch (...) {
    drafting_->roll_back();
    throw;
  }
}

bool Answer::choose_one() {
  if (n_chosen_ == options_.max_tokens) return false;
  const int32_t token = next_token();
  if (n_chosen_++ == 0) result_.timings.ttft_ms = ms();
  const bool ends = guided_ ? token < 0 || engine_.tokenizer->is_end(token)
                            : options_.stop_at_end_token && options_.forced_tokens.empty() &&
                                  engine_.tokenizer->is_end(token);
  if (ends) {
    // Where no way to an end was found, the answer is cut.
    const bool is_whole = !guided_ || token >= 0 || guided_->may_end();
    result_.finish_reason = is_whole ? FinishReason::kStop : FinishReason::kLength;
    return false;
  }
  if (callbacks_.on_logprobs && with_logprobs()) {
    static const std::vector<TokenLogprob> kNone;
    callbacks_.on_logprobs({token, result_.token_logprobs.back()},
                           result_.top_logprobs.empty() ? kNone : result_.top_logprobs.back());
  }
  if (!take(token)) return false;
  if (guided_ && guided_->accept(token)) {
    result_.finish_reason = FinishReason::kStop;
    return false;
  }
  return n_chosen_ < options_.max_tokens && s_.n_tokens() <= s_.most_tokens();
}

int32_t Answer::next_token() {
  if (callbacks_.on_logits) callbacks_.on_logits(*s_.logits);
  const bool is_forced = n_chosen_ < options_.forced_tokens.size();
  const int32_t token = is_forced ? options_.forced_tokens[n_chosen_] : drawn();
  if (with_logprobs() && token >= 0) {
    auto [chosen, top] = token_logprobs(*s_.logits, engine_.info.n_tokens, token, options_.n_top_logprobs);
    result_.token_logprobs.push_back(chosen.logprob);
    if (options_.n_top_logprobs > 0) result_.top_logprobs.push_back(std::move(top));
  }
  return token;
}

// -1: what guides the answer lets nothing follow.
int32_t Answer::drawn() {
  if (!guided_) return s_.draw(options_.sampling);
  return guided_->choose(
      std::span<const float>(*s_.logits).first(engine_.info.n_tokens),
      [this](std::span<const float> logits) { return s_.draw_from(logits, options_.sampling); });
}

// False when this token was the last.
bool Answer::take(int32_t token) {
  s_.tokens.push_back(token);
  s_.has_logits = false;
  result_.token_ids.push_back(token);
  const std::string text = text_.push(token);
  result_.text += text;
  if (callbacks_.on_token && !callbacks_.on_token(token, text)) {
    stop();
    return false;
  }
  if (text_.stopped()) {
    result_.finish_reason = FinishReason::kStop;
    return false;
  }
  return true;
}

Generation Answer::finish() {
  const std::string rest = text_.finish();
  if (!rest.empty()) {
    result_.text += rest;
    if (callbacks_.on_token && !result_.token_ids.empty())
      callbacks_.on_token(result_.token_ids.back(), rest);
  }
  result_.plain_text = text_.plain();
  result_.stop_text = text_.stop_text();
  if (drafting_) result_.drafts = drafting_->report();
  result_.timings.total_ms = ms();
  result_.timings.decode_ms = result_.timings.total_ms - result_.timings.ttft_ms;
  if (!s_.cache.has_forgotten()) result_.lazy.computed_fraction = computed_fractions();
  result_.memory = {engine_.model.weights.packed_bytes(), s_.cache.kv_bytes(), s_.cache.aux_bytes()};
  return std::move(result_);
}

// Of a stream that has forgotten tokens, of those that it holds.
std::vector<double> Answer::computed_fractions() const {
  std::vector<double> fractions;
  std::vector<TokenIndex> held = s_.cache.held_tokens(0);
  held.erase(std::lower_bound(held.begin(), held.end(), static_cast<TokenIndex>(n_cached_prompt_)),
             held.end());
  const size_t n_prompt = s_.cache.has_forgotten() ? held.size() : result_.prompt_token_ids.size();
  for (size_t layer = 0; layer < engine_.model.config.n_layers; ++layer) {
    // Rivals compute tokens and forget them: what is in the cache says too little.
    size_t n_computed = layer < n_whole_layers_ ? n_prompt : 0;
    for (size_t i = 0; n_computed < n_prompt && i < held.size(); ++i)
      n_computed += s_.cache.columns(layer).has(held[i]) ? 1 : 0;
    fractions.push_back(static_cast<double>(n_computed) / static_cast<double>(n_prompt));
  }
  return fractions;
}

}  // namespace lazyfill
