#include <chrono>
#include <string>

#include "base/out_of_memory.h"
#include "engine/engine_impl.h"
#include "engine/session_impl.h"

namespace lazyfill {

Result<Executor> Engine::start_executor(const ExecutorOptions& options) const {
  const size_t n_threads = options.n_threads != 0 ? options.n_threads : impl_->n_threads;
  return guard_memory(
      [&]() -> Result<Executor> {
        auto impl = std::make_shared<Executor::Impl>(*this, impl_, n_threads);
        if (auto checked = check_threads(n_threads, impl->workspace.pool.n_threads()); !checked)
          return tl::unexpected(checked.error());
        return Executor(std::move(impl));
      },
      [] { return std::string("not enough memory for the threads; use fewer"); });
}

Result<Session> Engine::start_session(const SessionOptions& options) const {
  return start_executor({}).and_then(
      [&](const Executor& executor) { return executor.start_session(options); });
}

SequenceCache::Shape Engine::Impl::cache_shape(size_t capacity_tokens) const {
  const ModelConfig& config = model.config;
  return {.n_layers = config.n_layers,
          .n_kv_heads = config.n_kv_heads,
          .head_dim = config.head_dim,
          .d_model = config.d_model,
          .capacity_tokens = capacity_tokens,
          .column_type = kv == KvType::kQ8 ? ColumnType::kQ8 : model.kernels->column_type};
}

bool Executor::Impl::decode(Step& step, size_t n_rows, FunctionRef<bool(const Progress&)> keep_going) {
  const std::scoped_lock lock(mutex);
  const auto start = std::chrono::steady_clock::now();
  if (!step.advance(workspace, keep_going)) return false;
  const std::chrono::duration<double, std::milli> passed = std::chrono::steady_clock::now() - start;
  drafts->note_step(n_rows, passed.count());
  return true;
}

Executor::Executor(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
Executor::Executor(Executor&&) noexcept = default;
Executor& Executor::operator=(Executor&&) noexcept = default;
Executor::~Executor() = default;

const Engine& Executor::engine() const {
  return impl_->handle;
}

size_t Executor::n_threads() const {
  return impl_->workspace.pool.n_threads();
}

Result<Session> Executor::start_session(const SessionOptions& options) const {
  const Engine::Impl& engine = *impl_->engine;
  const ModelConfig& config = engine.model.config;
  const size_t context_tokens = options.context_tokens == 0 ? config.context_length : options.context_tokens;
  if (context_tokens > config.context_length) {
    return fail(ErrorCode::kInvalidArgument, "a context of " + std::to_string(context_tokens) +
                                                 " tokens is more than this model's " +
                                                 std::to_string(config.context_length));
  }
  return guard_memory(
      [&]() -> Result<Session> {
        if (auto stages = engine.resolve(options.lazy, context_tokens); !stages)
          return tl::unexpected(stages.error());
        if (options.stream) {
          auto checked = check_stream(engine, *options.stream, options.lazy, context_tokens);
          if (!checked) return tl::unexpected(checked.error());
        }
        const SequenceCache::Shape shape =
            options.stream ? stream_shape(engine, *options.stream) : engine.cache_shape(context_tokens);
        return Session(std::make_unique<Session::Impl>(impl_, options.lazy, shape));
      },
      [&] {
        return "not enough memory for a context of " + std::to_string(context_tokens) +
               " tokens; ask for fewer";
      });
}

}  // namespace lazyfill
