#include <algorithm>

#include "engine/engine_impl.h"
#include "engine/logits.h"

namespace lazyfill {
namespace {

// Rows of a step: enough for the products' speed, few enough for logits that are rows times vocabulary large.
constexpr size_t kMostRows = 256;
constexpr size_t kMostLogits = size_t{1} << 24;  // 64 MiB

struct KeepGoing {
  const std::stop_token& stop;
  bool operator()(const Progress&) const { return !stop.stop_requested(); }
};

}  // namespace

// Steps of a few rows each: the logits of a whole prompt would fill the memory.
Result<std::vector<float>> Engine::token_logprobs(std::span<const int32_t> tokens,
                                                  const std::stop_token& stop) const {
  const ModelConfig& config = impl_->model.config;
  if (tokens.size() > config.context_length) {
    return fail(ErrorCode::kContextExceeded, "the text has " + std::to_string(tokens.size()) +
                                                 " tokens but this model takes " +
                                                 std::to_string(config.context_length) + "; shorten it");
  }
  for (int32_t token : tokens) {
    if (token < 0 || static_cast<size_t>(token) >= config.n_vocab)
      return fail(ErrorCode::kInvalidArgument, "token id " + std::to_string(token) + " does not exist");
  }
  const SequenceCache::Shape shape{config.n_layers, config.n_kv_heads, config.head_dim,
                                   config.d_model,  tokens.size(),     impl_->model.kernels->column_type};
  SequenceCache cache(shape);
  const size_t step_rows = std::clamp<size_t>(kMostLogits / config.n_vocab, 1, kMostRows);
  std::vector<float> logits(step_rows * config.n_vocab);  // [step_rows, n_vocab]
  std::vector<float> logprobs(tokens.size(), 0);          // [n_tokens]
  const KeepGoing keep_going{stop};
  StepTrace trace;
  for (size_t begin = 0; begin < tokens.size(); begin += step_rows) {
    const auto rows = tokens.subspan(begin, std::min(step_rows, tokens.size() - begin));
    const StepInput input{rows, {}, nullptr, tokens.size(), rows.size(), keep_going};
    if (auto done = impl_->runner->run(input, cache, logits, trace); !done)
      return tl::unexpected(done.error());
    const size_t n_followed = std::min(rows.size(), tokens.size() - begin - 1);
    Team::all(impl_->pool).for_each(n_followed, [&](size_t i, size_t) {
      const auto row = std::span<const float>(logits).subspan(i * config.n_vocab, config.n_vocab);
      const size_t next = begin + i + 1;
      logprobs[next] = static_cast<float>(row[static_cast<size_t>(tokens[next])] - log_sum_exp(row));
    });
  }
  return logprobs;
}

}  // namespace lazyfill
