#include "cli/fidelity.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "engine/logits.h"

namespace lazyfill::cli {
namespace {

Result<Generation> generate(Conversation& conversation, std::span<const int32_t> tokens,
                            const GenerateOptions& options, const Callbacks& callbacks) {
  if (auto n_new = conversation.sync(tokens); !n_new) return tl::unexpected(n_new.error());
  auto generation = conversation.generate(options, callbacks);
  if (generation && generation->finish_reason == FinishReason::kCancelled)
    return fail(ErrorCode::kCancelled, "stopped");
  return generation;
}

// [n_tokens] ids. Not of the logits themselves: they have rows that no token has.
std::vector<int32_t> likeliest(const Generation& generation) {
  std::vector<int32_t> ids;
  for (const auto& top : generation.top_logprobs) ids.push_back(top.front().id);
  return ids;
}

double share_of_equals(const std::vector<int32_t>& a, const std::vector<int32_t>& b) {
  size_t n_equal = 0;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) n_equal += a[i] == b[i] ? 1 : 0;
  return static_cast<double>(n_equal) / static_cast<double>(a.size());
}

}  // namespace

std::vector<float> log_softmax(std::span<const float> logits) {
  const auto offset = static_cast<float>(log_sum_exp(logits));
  std::vector<float> logprobs(logits.begin(), logits.end());
  for (float& value : logprobs) value -= offset;
  return logprobs;
}

double kl_divergence(std::span<const float> log_p, std::span<const float> log_q) {
  double kl = 0;
  for (size_t i = 0; i < log_p.size(); ++i) {
    const auto p = static_cast<double>(log_p[i]);
    kl += std::exp(p) * (p - static_cast<double>(log_q[i]));
  }
  return std::max(kl, 0.0);
}

Result<DenseReference> dense_turn(Conversation& dense, std::span<const int32_t> tokens,
                                  const GenerateOptions& options, const std::stop_token& stop) {
  DenseReference reference;
  Callbacks callbacks;
  callbacks.stop = stop;
  callbacks.on_logits = [&](std::span<const float> logits) {
    reference.logprobs.push_back(log_softmax(logits));
  };
  GenerateOptions with_likeliest = options;
  with_likeliest.n_top_logprobs = std::max<size_t>(1, options.n_top_logprobs);
  auto generation = generate(dense, tokens, with_likeliest, callbacks);
  if (!generation) return tl::unexpected(generation.error());
  reference.likeliest = likeliest(*generation);
  reference.continuation = std::move(generation->token_ids);
  reference.text = std::move(generation->text);
  reference.ttft_ms = generation->timings.ttft_ms;
  return reference;
}

Result<Fidelity> follow_turn(Conversation& conversation, std::span<const int32_t> tokens,
                             const DenseReference& dense, const std::stop_token& stop) {
  Fidelity fidelity;
  const size_t n_tokens = dense.logprobs.size();
  size_t token = 0;
  Callbacks callbacks;
  callbacks.stop = stop;
  callbacks.on_logits = [&](std::span<const float> logits) {
    const std::vector<float>& log_p = dense.logprobs[token];
    const double kl = kl_divergence(log_p, log_softmax(logits));
    if (token == 0) fidelity.first_kl = kl;
    fidelity.mean_kl += kl / static_cast<double>(n_tokens);
    ++token;
  };
  GenerateOptions options;
  options.max_tokens = n_tokens;
  options.sampling.temperature = 0;
  options.stop_at_end_token = false;
  options.forced_tokens = dense.continuation;
  options.n_top_logprobs = 1;
  auto generation = generate(conversation, tokens, options, callbacks);
  if (!generation) return tl::unexpected(generation.error());
  if (n_tokens > 0) fidelity.agreement = share_of_equals(dense.likeliest, likeliest(*generation));
  generation->top_logprobs.clear();  // nobody asked for them
  // The token that was chosen here where the dense answer had ended is none of the conversation.
  const size_t n_extra = generation->token_ids.size() - dense.continuation.size();
  if (n_extra > 0) {
    if (auto done = conversation.rewind(conversation.tokens().size() - n_extra); !done)
      return tl::unexpected(done.error());
  }
  fidelity.generation = std::move(*generation);
  return fidelity;
}

Result<DenseReference> dense_reference(const Executor& executor, std::vector<int32_t> prompt, size_t n_tokens,
                                       const std::stop_token& stop) {
  LazyOptions off;
  off.schedule = "off";
  auto session = executor.start_session({.context_tokens = prompt.size() + n_tokens, .lazy = off});
  if (!session) return tl::unexpected(session.error());
  GenerateOptions options;
  options.max_tokens = n_tokens;
  options.sampling.temperature = 0;
  options.stop_at_end_token = false;
  Conversation conversation(std::move(*session));
  auto reference = dense_turn(conversation, prompt, options, stop);
  if (reference) reference->prompt = std::move(prompt);
  return reference;
}

Result<Fidelity> measure_fidelity(const Executor& executor, const DenseReference& dense,
                                  const LazyOptions& lazy, const std::stop_token& stop) {
  auto session =
      executor.start_session({.context_tokens = dense.prompt.size() + dense.logprobs.size(), .lazy = lazy});
  if (!session) return tl::unexpected(session.error());
  Conversation conversation(std::move(*session));
  return follow_turn(conversation, dense.prompt, dense, stop);
}

}  // namespace lazyfill::cli
