#include "engine/turns.h"

#include <algorithm>
#include <cstdint>
#include <new>
#include <utility>

#include "base/out_of_memory.h"

namespace lazyfill {
namespace {

// Turns in which others than the oldest prompt go on.
constexpr size_t kMostOvertaken = 3;
constexpr auto kNever = std::chrono::steady_clock::time_point::max();

Error no_memory() {
  return {ErrorCode::kOutOfMemory, "not enough memory for this prompt and its answer; shorten it"};
}

Error stopped() {
  return {ErrorCode::kCancelled, "stopped before the first token"};
}

}  // namespace

Turns::Turns(std::shared_ptr<Executor::Impl> executor, const SchedulerOptions& options,
             std::optional<PrefixFolder> folder)
    : executor_(std::move(executor)),
      model_(executor_->engine->model),
      options_(options),
      store_(model_.config.n_layers),
      folder_(std::move(folder)) {
  totals_.kv_memory_bytes = options.kv_memory_bytes;
  if (folder_) store_.on_eviction([this](const StoredSequence& sequence) { save(sequence); });
}

void Turns::save_all() {
  if (folder_) store_.for_each_kept([this](const StoredSequence& sequence) { save(sequence); });
}

// What was stopped is for the client's next attempt, not for the next run.
void Turns::save(const StoredSequence& sequence) {
  if (sequence.name.plan.name != kCutPlan) folder_->save(sequence);
}

void Turns::arrive(std::unique_ptr<Scheduled> request) {
  request->number = n_arrived_++;
  find_plan(*request);
  const auto goes_before = [](int priority, const std::unique_ptr<Scheduled>& other) {
    return priority > other->request.priority;
  };
  waiting_.insert(std::upper_bound(waiting_.begin(), waiting_.end(), request->request.priority, goes_before),
                  std::move(request));
  n_waiting_ = waiting_.size();
}

bool Turns::turn() {
  end_stopped();
  admit();
  decode();
  begin_prefills();
  prefill();
  return !running_.empty() || !prefills_.empty() || !ready_.empty() || !waiting_.empty();
}

void Turns::end_stopped() {
  for (auto* requests : {&waiting_, &ready_}) {
    for (const auto& request : *requests) {
      if (request->stop_requested()) end(*request, tl::unexpected(stopped()));
    }
    let_go_of_ended(*requests);
  }
  for (const auto& request : running_) {
    if (!request->stop_requested()) continue;
    request->answer->stop();
    end(*request, request->answer->finish());
  }
  let_go_of_ended(running_);
  // Rows of one that is stopped may pass on with those of the others for a while; it has its answer now.
  std::erase_if(prefills_, [&](const std::unique_ptr<Prefill>& prefill) {
    bool all_ended = true;
    for (size_t i = 0; i < prefill->size(); ++i) {
      Scheduled& request = prefill->member(i);
      if (!request.ended && request.stop_requested()) end(request, tl::unexpected(stopped()));
      all_ended &= request.ended;
    }
    if (!all_ended) return false;
    prefill->abandon();
    release(*prefill);
    return true;
  });
  n_waiting_ = waiting_.size();
}

// In the order of the queue: who is behind one that has no room waits too, so that a large request is not
// passed by small ones for ever. Who waits for what another one computes is passed.
void Turns::admit() {
  bool is_full = false;
  for (auto& request : waiting_) {
    if (joins_another(*request)) continue;
    is_full = true;
    const size_t n_active = running_.size() + ready_.size() + n_prefilling();
    if (n_active >= options_.max_sequences) break;
    const uint64_t n_bytes = totals_.kv_reserved_bytes + request->reserved_bytes;
    if (n_bytes > options_.kv_memory_bytes && n_active > 0) break;
    // What is kept makes room for what is computed.
    store_.evict_to(options_.kv_memory_bytes - std::min(options_.kv_memory_bytes, n_bytes));
    start(*request);
    ready_.push_back(std::move(request));
    is_full = false;
  }
  std::erase(waiting_, nullptr);
  let_go_of_ended(ready_);
  has_room_ = !is_full && running_.size() + ready_.size() + n_prefilling() < options_.max_sequences;
  n_waiting_ = waiting_.size();
}

// The request gets a session, and its prompt a plan.
void Turns::start(Scheduled& request) {
  request.is_admitted = true;
  totals_.kv_reserved_bytes += request.reserved_bytes;
  const Engine::Impl& engine = *executor_->engine;
  Result<void> begun = guard_memory(
      [&]() -> Result<void> {
        const Request& asked = request.request;
        SequenceCache::Shape shape = engine.cache_shape(request.capacity_tokens);
        shape.context_tokens = options_.context_tokens;
        if (asked.stream) shape = stream_shape(engine, *asked.stream);
        request.session = std::make_unique<Session::Impl>(executor_, asked.lazy, shape);
        request.answer.emplace(*request.session, asked.options, asked.callbacks, request.arrived);
        fill(request);
        if (asked.on_start) asked.on_start({request.hit.n_tokens, request.hit.n_agreeing});
        return request.answer->begin(asked.tokens);
      },
      [] { return no_memory().message; });
  if (!begun) end(request, tl::unexpected(begun.error()));
}

// One step for all that are being answered: a row each, and their drafts.
void Turns::decode() {
  if (running_.empty()) return;
  try {
    std::vector<SequenceStep> steps;
    steps.reserve(running_.size());
    size_t n_rows = 0;
    for (const auto& request : running_) {
      steps.push_back(request->answer->begin_step(request->request.callbacks.stop, running_.size()));
      n_rows += steps.back().tokens.size();
    }
    Step step(model_, steps);
    executor_->decode(step, n_rows, [](const Progress&) { return true; });
    for (size_t i = 0; i < steps.size(); ++i) take(*running_[i], steps[i]);
  } catch (const std::bad_alloc&) {
    for (const auto& request : running_) {
      if (!request->ended) end(*request, tl::unexpected(no_memory()));
    }
  }
  let_go_of_ended(running_);
}

void Turns::begin_prefills() {
  if (ready_.empty()) return;
  std::vector<WaitingPrompt> prompts;
  for (const auto& request : ready_) {
    const Session::Impl& session = *request->session;
    prompts.push_back({request->request.priority, session.uncomputed().size(), request->number});
  }
  const size_t pack_tokens = options_.pad_prompts ? SIZE_MAX : options_.pack_tokens;
  for (const std::vector<size_t>& pack : pack_prompts(prompts, pack_tokens)) {
    std::vector<std::unique_ptr<Scheduled>> members;
    for (size_t i : pack) members.push_back(std::move(ready_[i]));
    prefills_.push_back(std::make_unique<Prefill>(model_, std::move(members), options_.pad_prompts));
  }
  ready_.clear();
}

// A prefill goes on until it is done, somebody comes or is stopped, or the turn's time is over, which counts
// only where somebody waits for it.
void Turns::prefill() {
  if (prefills_.empty()) return;
  std::vector<BegunPrefill> states;
  for (const auto& prefill : prefills_) states.push_back(prefill->state());
  const bool is_turn_of_oldest = n_overtaken_ == kMostOvertaken;
  n_overtaken_ = is_turn_of_oldest || states.size() == 1 ? 0 : n_overtaken_ + 1;
  const size_t next = next_prefill(states, is_turn_of_oldest);

  const auto turn = std::chrono::duration<double, std::milli>(options_.turn_ms);
  const Clock::time_point end = running_.empty() && states.size() == 1
                                    ? kNever
                                    : Clock::now() + std::chrono::duration_cast<Clock::duration>(turn);
  Clock::time_point last = Clock::now();
  bool is_first = true;
  const auto keep_going = [&] {
    const Clock::time_point now = Clock::now();
    // What the next block takes is what the blocks of late took; a layer begins with short ones.
    const double ms = std::chrono::duration<double, std::milli>(now - std::exchange(last, now)).count();
    block_ms_ = std::max(ms, 0.9 * block_ms_);
    if (std::exchange(is_first, false)) return true;  // whatever comes, a turn computes something
    if (interrupted_.load(std::memory_order_relaxed)) return false;
    return end == kNever || now + std::chrono::duration_cast<Clock::duration>(
                                      std::chrono::duration<double, std::milli>(block_ms_)) <
                                end;
  };
  if (!prefills_[next]->advance(*executor_, keep_going)) return;
  finish(*prefills_[next]);
  prefills_.erase(prefills_.begin() + static_cast<std::ptrdiff_t>(next));
}

void Turns::finish(Prefill& prefill) {
  totals_.n_prompt_tokens += prefill.n_tokens();
  for (size_t i = 0; i < prefill.size(); ++i) {
    Scheduled& request = prefill.member(i);
    if (!request.ended) take(request, prefill.step_of(i));
    if (request.ended) continue;
    const bool is_dense = request.prefix_plan && request.prefix_plan->is_dense(model_.config.n_layers);
    if (is_dense) request.session->cache.forget_entered();  // it was for the case that it is stopped
    if (is_awaited(request)) keep(request);
  }
  keep_bound();
  release(prefill);
}

// Those that are not ended are being answered now.
void Turns::release(Prefill& prefill) {
  for (size_t i = 0; i < prefill.size(); ++i) {
    std::unique_ptr<Scheduled> request = prefill.release(i);
    if (request->ended) {
      let_go(std::move(request));
    } else {
      auto& next = request->answer->has_prefilled() ? running_ : ready_;
      next.push_back(std::move(request));
    }
  }
}

void Turns::take(Scheduled& request, SequenceStep& step) {
  auto trace = request.answer->end_step(step);
  if (trace && request.session->cache.n_tokens() < request.session->prompt_end) return;  // its dense part
  const bool was_stopped = !trace && trace.error().code == ErrorCode::kCancelled;
  if (!trace && !(was_stopped && request.answer->has_prefilled()))
    return end(request, tl::unexpected(trace.error()));
  Result<Generation> result = guard_memory(
      [&]() -> Result<Generation> {
        if (was_stopped) {
          request.answer->stop();
        } else {
          request.answer->took({.step = std::move(*trace)});
          const size_t n_before = request.answer->n_chosen();
          const bool goes_on = request.answer->choose();
          totals_.n_generated_tokens += request.answer->n_chosen() - n_before;
          if (goes_on) return Generation{};
        }
        request.ended = true;
        return request.answer->finish();
      },
      [] { return no_memory().message; });
  if (request.ended || !result) end(request, std::move(result));
}

void Turns::end(Scheduled& request, Result<Generation> result) {
  ++totals_.n_ended;
  request.end(std::move(result));
}

void Turns::let_go(std::unique_ptr<Scheduled> request) {
  if (!request->is_admitted) return;
  keep(*request);
  request->session.reset();
  totals_.kv_reserved_bytes -= request->reserved_bytes;
  keep_bound();
}

void Turns::let_go_of_ended(std::vector<std::unique_ptr<Scheduled>>& requests) {
  std::erase_if(requests, [&](std::unique_ptr<Scheduled>& request) {
    if (!request->ended) return false;
    let_go(std::move(request));
    return true;
  });
}

// Memory may have ended anywhere before: where somebody was on the way from one list to another there is
// none.
void Turns::end_all(const Error& error) {
  for (auto& prefill : prefills_) {
    for (size_t i = 0; i < prefill->size(); ++i) {
      if (prefill->has(i) && !prefill->member(i).ended) end(prefill->member(i), tl::unexpected(error));
    }
  }
  for (auto* requests : {&waiting_, &ready_, &running_}) {
    for (const auto& request : *requests) {
      if (request != nullptr && !request->ended) end(*request, tl::unexpected(error));
    }
  }
  prefills_.clear();
  for (auto* requests : {&waiting_, &ready_, &running_}) requests->clear();
  totals_.kv_reserved_bytes = 0;
  n_waiting_ = 0;
}

size_t Turns::n_prefilling() const {
  size_t n = 0;
  for (const auto& prefill : prefills_) n += prefill->size();
  return n;
}

SchedulerStatus Turns::status() const {
  SchedulerStatus status = totals_;
  status.n_queued = waiting_.size();
  status.n_prefilling = ready_.size() + n_prefilling();
  status.n_decoding = running_.size();
  status.prefix_bytes = store_.bytes();
  return status;
}

}  // namespace lazyfill
