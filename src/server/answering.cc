#include "server/answering.h"

#include <algorithm>
#include <numeric>
#include <random>
#include <utility>

namespace lazyfill::server {
namespace {

constexpr std::chrono::milliseconds kProgressInterval{100};

double computed_share(const Generation& generation) {
  const std::vector<double>& shares = generation.lazy.computed_fraction;
  if (shares.empty()) return 1;
  return std::accumulate(shares.begin(), shares.end(), 0.0) / static_cast<double>(shares.size());
}

int64_t now_s() {
  return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

ApiError stopped_error() {
  return api_error({ErrorCode::kCancelled,
                    "the answer was stopped, because the server shuts down or the client went away"});
}

}  // namespace

size_t Answered::n_completion_tokens() const {
  return std::accumulate(choices.begin(), choices.end(), size_t{0},
                         [](size_t sum, const Choice& choice) { return sum + choice.n_tokens; });
}

size_t Answered::n_reasoning_tokens() const {
  return std::accumulate(choices.begin(), choices.end(), size_t{0},
                         [](size_t sum, const Choice& choice) { return sum + choice.n_reasoning_tokens; });
}

std::string random_id(size_t length) {
  constexpr std::string_view kLetters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  static thread_local std::random_device source;
  std::uniform_int_distribution<size_t> draw(0, kLetters.size() - 1);
  std::string id(length, ' ');
  for (char& c : id) c = kLetters[draw(source)];
  return id;
}

Answering::Answering(const Engine& engine, Generator& generator, AnswerRequest asked,
                     const AnswerSyntax& syntax, Request request, std::unique_ptr<AnswerWriter> writer,
                     std::shared_ptr<Reply> reply, std::function<void(const AnswerRecord&)> on_answered)
    : engine_(engine),
      generator_(generator),
      asked_(std::move(asked)),
      request_(std::move(request)),
      writer_(std::move(writer)),
      reply_(std::move(reply)),
      on_answered_(std::move(on_answered)),
      states_(asked_.n_choices) {
  answered_.id = random_id(24);
  answered_.created_s = now_s();
  answered_.n_prompt_tokens = request_.tokens.size();
  answered_.choices.resize(asked_.n_choices);
  if (!asked_.splits_answer) return;
  for (State& state : states_) state.parser.emplace(syntax);
}

void Answering::start() {
  const std::scoped_lock lock(mutex_);  // tokens wait until the writer has begun
  // The others find the prompt in the cache when the first has ended; without it all are computed together.
  const size_t n_first = asked_.cache_prompt ? 1 : asked_.n_choices;
  if (auto submitted = submit(0, n_first); !submitted) {
    fail(api_error(submitted.error()));
    return;
  }
  writer_->begin(answered_);
  last_written_ = Clock::now();
}

Result<void> Answering::submit(size_t first, size_t n) {
  std::vector<Request> requests;
  for (size_t i = first; i < first + n; ++i) requests.push_back(request_of(i));
  return generator_.submit(std::move(requests));
}

Request Answering::request_of(size_t choice) {
  Request request = request_;
  // A seed gives each choice another answer, and the same ones again.
  if (request.options.sampling.seed != 0) request.options.sampling.seed += choice;
  auto self = shared_from_this();
  request.callbacks.stop = reply_->gone();
  request.on_start = [self, choice](const PrefixReport& prefix) { self->started(choice, prefix); };
  request.callbacks.on_progress = [self, choice](const Progress& progress) {
    self->progressed(choice, progress);
  };
  request.callbacks.on_token = [self, choice](int32_t, std::string_view text) {
    return self->took(choice, text);
  };
  if (asked_.with_logprobs) {
    request.callbacks.on_logprobs = [self, choice](TokenLogprob chosen, std::span<const TokenLogprob> top) {
      const std::scoped_lock lock(self->mutex_);
      self->states_[choice].logprobs.push_back({chosen, {top.begin(), top.end()}});
    };
  }
  request.on_end = [self, choice](Result<Generation> result) { self->ended(choice, std::move(result)); };
  return request;
}

void Answering::started(size_t choice, const PrefixReport& prefix) {
  const std::scoped_lock lock(mutex_);
  if (has_ended_ || choice > 0) return;
  answered_.n_cached_tokens = prefix.n_cached_tokens;
  n_agreeing_tokens_ = prefix.n_agreeing_tokens;
  writer_->start(answered_);
  last_written_ = Clock::now();
}

void Answering::progressed(size_t choice, const Progress& progress) {
  const std::scoped_lock lock(mutex_);
  const Clock::time_point now = Clock::now();
  if (has_ended_ || choice > 0 || !asked_.with_progress || now - last_progress_ < kProgressInterval) return;
  last_progress_ = now;
  PrefillProgress told;
  told.n_total = answered_.n_prompt_tokens;
  told.n_cached = answered_.n_cached_tokens;
  told.n_processed = told.n_cached + static_cast<size_t>(progress.fraction *
                                                         static_cast<double>(told.n_total - told.n_cached));
  told.time_ms = std::chrono::duration<double, std::milli>(now - asked_at_).count();
  told.layer = progress.layer;
  told.n_layers = progress.n_layers;
  told.rows = progress.rows;
  writer_->progress(answered_, told);
  last_written_ = now;
}

bool Answering::took(size_t choice, std::string_view text) {
  const std::scoped_lock lock(mutex_);
  if (has_ended_) return false;
  State& state = states_[choice];
  if (answered_.choices[choice].n_tokens++ == 0) state.first_token_at = Clock::now();
  const auto limit = std::chrono::milliseconds(asked_.max_predict_ms);
  state.is_late = limit.count() > 0 && Clock::now() - state.first_token_at > limit;
  if (text.empty()) return !state.is_late;
  take_parts(choice, state.parser
                         ? state.parser->push(text)
                         : std::vector<AnswerPart>{{AnswerPart::Kind::kContent, std::string(text), 0}});
  return !state.has_enough && !state.is_late;
}

void Answering::take_parts(size_t choice, std::vector<AnswerPart> parts) {
  using Kind = AnswerPart::Kind;
  Choice& answer = answered_.choices[choice];
  State& state = states_[choice];
  for (const AnswerPart& part : parts) {
    const bool is_of_first_call = part.kind == Kind::kToolArguments && part.call == 0;
    if (state.has_enough && !is_of_first_call) continue;
    switch (part.kind) {
      case Kind::kContent:
        answer.content += part.text;
        break;
      case Kind::kReasoning:
        answer.reasoning += part.text;
        break;
      case Kind::kToolCall:
        answer.calls.push_back({random_id(9), part.text, ""});
        break;
      case Kind::kToolArguments:
        answer.calls[part.call].arguments += part.text;
        break;
    }
    state.has_enough = asked_.tool_rules.has_one_call && answer.calls_tools();
    auto logprobs = std::exchange(state.logprobs, {});
    answer.logprobs.insert(answer.logprobs.end(), logprobs.begin(), logprobs.end());
    writer_->part(answered_, choice, part, logprobs);
    last_written_ = Clock::now();
  }
  if (!parts.empty() && parts.back().kind == Kind::kReasoning) ++answer.n_reasoning_tokens;
}

void Answering::ended(size_t choice, Result<Generation> result) {
  const std::scoped_lock lock(mutex_);
  if (has_ended_) return;
  if (!result) return fail(api_error(result.error()));
  State& state = states_[choice];
  if (result->finish_reason == FinishReason::kCancelled && !reply_->gone().stop_requested()) {
    if (state.has_enough) result->finish_reason = FinishReason::kStop;
    if (state.is_late) result->finish_reason = FinishReason::kLength;
  }
  if (result->finish_reason == FinishReason::kCancelled) return fail(stopped_error());
  if (state.parser) take_parts(choice, state.parser->finish());
  Choice& answer = answered_.choices[choice];
  answer.n_tokens = result->token_ids.size();
  answer.n_reasoning_tokens = std::min(answer.n_reasoning_tokens, answer.n_tokens);
  auto rest = std::exchange(state.logprobs, {});
  answer.logprobs.insert(answer.logprobs.end(), rest.begin(), rest.end());
  answer.generation = std::move(*result);
  state.has_ended = true;
  writer_->end_choice(answered_, choice);
  if (choice == 0 && asked_.cache_prompt && asked_.n_choices > 1) {
    if (auto submitted = submit(1, asked_.n_choices - 1); !submitted) fail(api_error(submitted.error()));
    return;
  }
  if (!std::all_of(states_.begin(), states_.end(), [](const State& one) { return one.has_ended; })) return;
  answered_.ended_s = now_s();
  on_complete(shared_from_this());
}

void Answering::finish() {
  const std::scoped_lock lock(mutex_);
  has_ended_ = true;
  writer_->finish(answered_);
  record(200, {});
}

void Answering::fail(const ApiError& error) {
  has_ended_ = true;
  writer_->fail(error);
  record(error.status, error.code.empty() ? error.type : error.code);
}

void Answering::record(int status, const std::string& error_code) {
  AnswerRecord record;
  record.id = answered_.id;
  record.status = status;
  record.error_code = error_code;
  record.n_prompt_tokens = answered_.n_prompt_tokens;
  record.n_cached_tokens = answered_.n_cached_tokens;
  record.n_agreeing_tokens = n_agreeing_tokens_;
  record.n_generated_tokens = answered_.n_completion_tokens();
  record.is_cancelled = reply_->gone().stop_requested();
  if (const auto& generation = answered_.choices.front().generation) {
    record.timings = generation->timings;
    record.computed_share = computed_share(*generation);
  }
  if (on_answered_) on_answered_(record);
}

void Answering::keep_alive(std::chrono::milliseconds silence) {
  const std::scoped_lock lock(mutex_);
  if (has_ended_ || Clock::now() - last_written_ < silence) return;
  writer_->keep_alive();
  last_written_ = Clock::now();
}

RunningAnswer Answering::running() const {
  const std::scoped_lock lock(mutex_);
  RunningAnswer running;
  running.id = answered_.id;
  running.n_prompt_tokens = answered_.n_prompt_tokens;
  running.n_cached_tokens = answered_.n_cached_tokens;
  running.n_generated_tokens = answered_.n_completion_tokens();
  running.is_prefilling = running.n_generated_tokens == 0;
  running.n_choices = asked_.n_choices;
  running.running_s = std::chrono::duration<double>(Clock::now() - asked_at_).count();
  return running;
}

}  // namespace lazyfill::server
