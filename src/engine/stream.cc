#include "engine/stream.h"

#include <algorithm>
#include <limits>
#include <string>

#include "base/common_prefix.h"
#include "engine/session_impl.h"
#include "pruning/policy.h"

namespace lazyfill {
namespace {

// Rows of a piece of a prompt that is longer than what is held. Memory for their columns comes on top of the
// window's: a quarter of it at most, where that is enough for the products' speed.
constexpr size_t kFewestRows = 64;
constexpr size_t kMostRows = 512;

// Tokens that are held and that no row of a next step sees.
size_t unseen_tokens(const SequenceCache& cache) {
  const size_t n_seen = cache.shape().n_pinned + cache.shape().window_tokens - 1;
  return cache.n_held() - std::min(cache.n_held(), n_seen);
}

uint64_t mixed(uint64_t hash, int32_t token) {
  hash = (hash + 0x9e3779b97f4a7c15U) ^ static_cast<uint32_t>(token);
  hash = (hash ^ (hash >> 30)) * 0xbf58476d1ce4e5b9U;
  hash = (hash ^ (hash >> 27)) * 0x94d049bb133111ebU;
  return hash ^ (hash >> 31);
}

}  // namespace

Result<void> check_stream(const Engine::Impl& engine, const StreamOptions& stream, const LazyOptions& lazy,
                          size_t context_tokens) {
  if (stream.window == 0)
    return fail(ErrorCode::kInvalidArgument, "a stream's window has at least one token, the newest");
  if (stream.sinks >= context_tokens || stream.window > context_tokens - stream.sinks) {
    return fail(ErrorCode::kInvalidArgument, "a stream with " + std::to_string(stream.sinks) +
                                                 " sinks and a window of " + std::to_string(stream.window) +
                                                 " tokens holds more than the context's " +
                                                 std::to_string(context_tokens) + "; take a smaller window");
  }
  auto plan = engine.resolve(lazy, stream.sinks + stream.window);
  if (!plan) return tl::unexpected(plan.error());
  if (const PolicyInfo& policy = policy_info(plan->lazy); policy.leaves != Leaves::kRows) {
    return fail(ErrorCode::kInvalidArgument,
                "the policy " + std::string(policy.name) +
                    " drops tokens for good, by another rule than a stream's; take one that does not");
  }
  return {};
}

Result<void> check_drafts(const GenerateOptions& options, bool is_stream) {
  if (!is_stream || options.draft == Draft::kNone) return {};
  return fail(ErrorCode::kInvalidArgument, "drafts do not work in a stream; leave one of the two out");
}

SequenceCache::Shape stream_shape(const Engine::Impl& engine, const StreamOptions& stream) {
  const size_t n_rows = std::clamp(stream.window / 4, kFewestRows, kMostRows);
  SequenceCache::Shape shape = engine.cache_shape(stream.sinks + stream.window - 1 + n_rows);
  shape.context_tokens = stream.sinks + stream.window;
  shape.n_pinned = stream.sinks;
  shape.window_tokens = stream.window;
  return shape;
}

size_t stream_room(const SequenceCache& cache) {
  return cache.capacity_tokens() - cache.n_held() + unseen_tokens(cache);
}

void forget_unseen(SequenceCache& cache) {
  if (const size_t n = unseen_tokens(cache); n > 0) cache.forget_oldest(n);
}

void TokensLetGo::add(std::span<const int32_t> tokens) {
  for (int32_t token : tokens) hash_ = mixed(hash_, token);
  n_ += tokens.size();
}

bool TokensLetGo::begin(std::span<const int32_t> text) const {
  if (text.size() < n_) return false;
  TokensLetGo same;
  same.add(text.first(n_));
  return same.hash_ == hash_;
}

size_t Session::Impl::most_tokens() const {
  return is_stream() ? size_t{std::numeric_limits<TokenIndex>::max()} : cache.capacity_tokens();
}

std::span<const int32_t> Session::Impl::uncomputed() const {
  return std::span(tokens).subspan(cache.n_tokens() - let_go.size());
}

size_t Session::Impl::next_rows() const {
  const size_t n = uncomputed().size();
  return is_stream() ? std::min(n, stream_room(cache)) : n;
}

// What has been forgotten cannot be undone: a call in which that happens becomes one of separate steps.
void Session::Impl::make_room() {
  if (unseen_tokens(cache) > 0 && cache.is_in_call()) cache.end_call();
  forget_unseen(cache);
  const size_t n_old = cache.first_held() - std::min(cache.first_held(), let_go.size());
  if (n_old < cache.capacity_tokens()) return;  // from time to time, many at once
  let_go.add(std::span(tokens).first(n_old));
  tokens.erase(tokens.begin(), tokens.begin() + static_cast<std::ptrdiff_t>(n_old));
}

bool Session::Impl::can_rewind(size_t n_tokens) const {
  return n_tokens == 0 || n_tokens >= std::max(cache.first_held(), let_go.size());
}

size_t Session::Impl::n_agreeing(std::span<const int32_t> text) const {
  if (!let_go.begin(text)) return 0;
  return let_go.size() + common_prefix(tokens, text.subspan(let_go.size()));
}

void Session::Impl::drop_uncomputed() {
  tokens.resize(tokens.size() - uncomputed().size());
  has_logits = false;
  is_new_prompt = false;
  prompt_end = std::min(prompt_end, n_tokens());
}

// A prompt that is read in pieces has no row that sees all of it when the first layers are done, so nobody
// can choose: it is read dense.
Result<void> Session::Impl::plan_stream() {
  plan.lazy.protect_first = std::max(plan.lazy.protect_first, cache.shape().n_pinned);
  const size_t n_new = uncomputed().size();
  if (plan.stages.empty() || next_rows() == n_new) return {};
  if (plan.choice.source == "given" && is_first_step()) {
    return fail(ErrorCode::kContextExceeded,
                "the prompt has " + std::to_string(n_new) + " tokens and the stream can prune up to " +
                    std::to_string(next_rows()) +
                    ", for a longer one is read in pieces; take a larger window, or --lazy off or auto");
  }
  plan.stages.clear();
  return {};
}

}  // namespace lazyfill
