#include <algorithm>
#include <string>

#include "base/out_of_memory.h"
#include "engine/engine_impl.h"
#include "engine/logits.h"
#include "engine/stream.h"

namespace lazyfill {
namespace {

// Rows of a step: enough for the products' speed, few enough for logits that are rows times vocabulary large.
constexpr size_t kMostRows = 256;
constexpr size_t kMostLogits = size_t{1} << 24;  // 64 MiB

}  // namespace

Result<std::vector<float>> Executor::token_logprobs(std::span<const int32_t> tokens,
                                                    const std::stop_token& stop,
                                                    const std::optional<StreamOptions>& stream) const {
  return guard_memory(
      [&] { return impl_->token_logprobs(tokens, stop, stream); },
      [] { return std::string("not enough memory for the logits of this text; shorten it"); });
}

// Steps of a few rows each: the logits of a whole prompt would fill the memory.
Result<std::vector<float>> Executor::Impl::token_logprobs(std::span<const int32_t> tokens,
                                                          const std::stop_token& stop,
                                                          const std::optional<StreamOptions>& stream) {
  const ModelConfig& config = engine->model.config;
  if (stream) {
    auto checked = check_stream(*engine, *stream, {.schedule = "off"}, config.context_length);
    if (!checked) return tl::unexpected(checked.error());
  } else if (tokens.size() > config.context_length) {
    return fail(ErrorCode::kContextExceeded, "the text has " + std::to_string(tokens.size()) +
                                                 " tokens but this model takes " +
                                                 std::to_string(config.context_length) + "; shorten it");
  }
  if (auto checked = engine->check_tokens(tokens); !checked) return tl::unexpected(checked.error());
  const SequenceCache::Shape shape{config.n_layers, config.n_kv_heads, config.head_dim,
                                   config.d_model,  tokens.size(),     engine->model.kernels->column_type};
  const size_t step_rows = std::clamp<size_t>(kMostLogits / config.n_vocab, 1, kMostRows);
  SequenceCache cache(stream ? stream_shape(*engine, *stream) : shape);
  std::vector<float> logits(step_rows * config.n_vocab);  // [step_rows, n_vocab]
  std::vector<float> logprobs(tokens.size(), 0);          // [n_tokens]
  for (size_t begin = 0; begin < tokens.size(); begin = cache.n_tokens()) {
    if (stream) forget_unseen(cache);
    const size_t n_rows = stream ? std::min(step_rows, stream_room(cache)) : step_rows;
    const auto rows = tokens.subspan(begin, std::min(n_rows, tokens.size() - begin));
    SequenceStep sequence{.cache = cache,
                          .tokens = rows,
                          .plan = {.prompt_end = tokens.size()},
                          .logits = logits,
                          .n_logit_rows = rows.size(),
                          .stop = stop};
    Step step(engine->model, {&sequence, 1});
    advance(step, [](const Progress&) { return true; });
    if (!sequence.result) return tl::unexpected(sequence.result.error());
    const size_t n_followed = std::min(rows.size(), tokens.size() - begin - 1);
    const std::scoped_lock lock(mutex);
    Team::all(workspace.pool).for_each(n_followed, [&](size_t i, size_t) {
      const auto row = std::span<const float>(logits).subspan(i * config.n_vocab, config.n_vocab);
      const size_t next = begin + i + 1;
      logprobs[next] = static_cast<float>(row[static_cast<size_t>(tokens[next])] - log_sum_exp(row));
    });
  }
  return logprobs;
}

}  // namespace lazyfill
