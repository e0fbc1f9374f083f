// What requests leave to each other: those that have ended, and those that are being computed.
#include <algorithm>
#include <new>

#include "base/common_prefix.h"
#include "engine/prefix_plan.h"
#include "engine/turns.h"

namespace lazyfill {
namespace {

// Tokens less are computed twice rather than waited for.
constexpr size_t kLeastJoined = 64;
// What is waited for may take longer than what it saves, but not much: it is computed once instead of twice.
constexpr double kMostWaited = 1.25;
// Turns in which nothing of it is done, because others overtake it.
constexpr size_t kMostIdleTurns = 64;

}  // namespace

void Turns::find_plan(Scheduled& request) const {
  const Request& asked = request.request;
  if (asked.stream) return;  // it shares nothing
  const auto plan = executor_->engine->resolve(asked.lazy, asked.tokens.size());
  if (!plan) return;  // begin() says why
  const bool is_dense = plan->stages.empty();
  if (!is_dense) request.n_dense = std::min(asked.n_dense_tokens, asked.tokens.size() - 1);
  if (!asked.cache_prompt) return;
  request.prefix_plan = prefix_plan(*plan, model_.config.n_layers);
  request.n_recompute = is_dense ? 1 : std::max<size_t>(1, plan->lazy.window_rows);
}

PrefixStore::Question Turns::question_of(const Scheduled& request) const {
  return {request.request.tokens, *request.prefix_plan, request.request.cache_salt, request.n_recompute,
          request.n_dense};
}

// The session begins with what others have computed of the same tokens.
void Turns::fill(Scheduled& request) {
  if (!request.prefix_plan) return;
  const PrefixStore::Question question = question_of(request);
  if (folder_) folder_->load_better(store_, question);
  request.hit = store_.fill(request.session->cache, question);
  keep_bound();  // what came from the folder counts as well
  totals_.n_cached_tokens += request.hit.n_tokens;
  request.answer->note({request.hit.n_tokens, request.hit.n_agreeing});
}

// Work that a request saves the question when its prompt is computed, in tokens times layers.
double Turns::work_saved_by(const Scheduled& other, const PrefixStore::Question& question) const {
  const Request& asked = other.request;
  if (common_prefix(asked.tokens, question.tokens) < kLeastJoined) return 0;
  const bool is_dense = other.prefix_plan->is_dense(model_.config.n_layers);
  return store_.work_saved({asked.tokens, asked.tokens.size(), is_dense ? asked.tokens.size() : other.n_dense,
                            *other.prefix_plan, asked.cache_salt},
                           question);
}

// Of those whose prompts are being computed, the one that saves more than is left of it, and most.
const Scheduled* Turns::best_to_join(const Scheduled& request, double& work_left) const {
  const PrefixStore::Question question = question_of(request);
  const auto n_layers = static_cast<double>(model_.config.n_layers);
  const double has = store_.most_work(question);
  double most = has + static_cast<double>(kLeastJoined) * n_layers;
  const Scheduled* best = nullptr;
  const auto look_at = [&](const Scheduled& other, double n_tokens_left) {
    const bool may_serve = !other.ended && other.prefix_plan && !other.stop_requested() &&
                           other.request.priority >= request.request.priority;
    if (!may_serve) return;
    const double saved = work_saved_by(other, question);
    if (saved < most || n_tokens_left * n_layers > kMostWaited * (saved - has)) return;
    most = saved;
    work_left = n_tokens_left;
    best = &other;
  };
  for (const auto& prefill : prefills_) {
    for (size_t i = 0; i < prefill->size(); ++i) look_at(prefill->member(i), prefill->state().n_tokens_left);
  }
  for (const auto& other : ready_) {
    if (!other->ended) look_at(*other, static_cast<double>(other->session->uncomputed().size()));
  }
  return best;
}

bool Turns::joins_another(Scheduled& request) {
  if (!request.prefix_plan || request.n_idle_turns > kMostIdleTurns) return false;
  if (prefills_.empty() && ready_.empty()) return false;
  double work_left = 0;
  const Scheduled* other = best_to_join(request, work_left);
  if (other == nullptr) return false;
  const bool goes_on = request.joined != other->number || work_left < request.work_left_of_joined;
  request.n_idle_turns = goes_on ? 0 : request.n_idle_turns + 1;
  request.joined = other->number;
  request.work_left_of_joined = work_left;
  return true;
}

bool Turns::is_awaited(const Scheduled& request) const {
  return std::any_of(waiting_.begin(), waiting_.end(),
                     [&](const auto& other) { return other->joined == request.number; });
}

// Leaves what was computed to those who begin alike.
void Turns::keep(const Scheduled& request) {
  if (!request.prefix_plan || request.session == nullptr) return;
  const Session::Impl& session = *request.session;
  const size_t n_tokens = session.cache.n_tokens();
  const std::optional<size_t> cut = session.cache.cut_layer();
  if (n_tokens <= request.hit.n_tokens) return;  // nothing new
  const std::span<const int32_t> tokens = std::span(session.tokens).first(n_tokens);
  const size_t n_dense = std::max(request.hit.n_dense, std::min(request.n_dense, n_tokens));
  const PrefixPlan plan = cut ? PrefixPlan{std::string(kCutPlan), *cut, request.prefix_plan->attention_mass}
                              : *request.prefix_plan;
  try {
    store_.keep(session.cache,
                {tokens, std::min(session.prompt_end, n_tokens), n_dense, plan, request.request.cache_salt});
    const bool is_dense = plan.is_dense(model_.config.n_layers);
    const size_t n_pinned = std::min(request.request.n_dense_tokens, is_dense ? n_tokens : n_dense);
    if (n_pinned > 0) store_.pin(tokens.first(n_pinned), request.request.cache_salt);
  } catch (const std::bad_alloc&) {  // then it is computed again
  }
}

void Turns::keep_bound() {
  store_.evict_to(options_.kv_memory_bytes - std::min(options_.kv_memory_bytes, totals_.kv_reserved_bytes));
}

}  // namespace lazyfill
