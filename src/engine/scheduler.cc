#include "lazyfill/scheduler.h"

#include <condition_variable>
#include <deque>
#include <future>
#include <mutex>
#include <new>
#include <string>
#include <system_error>
#include <thread>

#include "base/free_memory.h"
#include "base/out_of_memory.h"
#include "engine/drafting.h"
#include "engine/memory_need.h"
#include "engine/prefix_plan.h"
#include "engine/sampling.h"
#include "engine/turns.h"
#include "pruning/policy.h"

namespace lazyfill {
namespace {

constexpr uint64_t kUnknownMemory = uint64_t{2} << 30;

std::string mebibytes(uint64_t bytes) {
  return std::to_string((bytes >> 20) + 1) + " MiB";
}

}  // namespace

struct Scheduler::Impl {
  Impl(std::shared_ptr<Executor::Impl> of_executor, const SchedulerOptions& of_options,
       std::optional<PrefixFolder> folder)
      : executor(std::move(of_executor)),
        engine(*executor->engine),
        options(of_options),
        turns(executor, of_options, std::move(folder)) {}

  ~Impl() {
    {
      const std::scoped_lock lock(mutex);
      quits = true;
      turns.interrupt();
    }
    wake.notify_all();
    if (thread.joinable()) thread.join();
  }

  Result<void> submit(std::vector<Request> requests);
  Result<std::unique_ptr<Scheduled>> checked(Request request);
  bool take_turn();
  void run();
  // Any thread: something was stopped.
  void call() {
    {
      const std::scoped_lock lock(mutex);
      is_called = true;
      turns.interrupt();
    }
    wake.notify_all();
  }

  const std::shared_ptr<Executor::Impl> executor;
  const Engine::Impl& engine;
  const SchedulerOptions options;
  Turns turns;           // of the thread, but for what says otherwise
  bool is_idle = false;  // of the thread: the turn before had nothing to do

  std::mutex mutex;  // of what follows
  std::condition_variable wake;
  std::deque<std::unique_ptr<Scheduled>> inbox;
  std::vector<std::string> notes;  // likewise
  SchedulerStatus status;          // at the end of the turn before
  bool is_called = false;          // something was stopped
  bool quits = false;
  std::thread thread;
};

Result<std::unique_ptr<Scheduled>> Scheduler::Impl::checked(Request request) {
  const size_t n_prompt = request.tokens.size();
  if (n_prompt == 0) return fail(ErrorCode::kInvalidArgument, "the prompt is empty; give at least one token");
  for (const auto* tokens : {&request.tokens, &request.options.forced_tokens})
    if (auto known = engine.check_tokens(*tokens); !known) return tl::unexpected(known.error());
  if (auto sampling = check_sampling(request.options.sampling, engine.info.n_tokens); !sampling)
    return tl::unexpected(sampling.error());
  if (request.stream) {
    auto stream = check_stream(engine, *request.stream, request.lazy, options.context_tokens);
    if (!stream) return tl::unexpected(stream.error());
    if (auto fits = check_drafts(request.options, true); !fits) return tl::unexpected(fits.error());
  } else if (n_prompt > options.context_tokens) {
    return fail(ErrorCode::kContextExceeded,
                "the prompt has " + std::to_string(n_prompt) + " tokens but the context holds " +
                    std::to_string(options.context_tokens) + "; shorten it by " +
                    std::to_string(n_prompt - options.context_tokens) + " tokens");
  }
  if (request.options.guide.kind != GuideKind::kNone) {
    if (auto guide = engine.guide(request.options); !guide) return tl::unexpected(guide.error());
  }
  auto plan = engine.resolve(request.lazy, n_prompt);
  if (!plan) return tl::unexpected(plan.error());
  const PolicyInfo& policy = policy_info(plan->lazy);
  if (policy.leaves != Leaves::kRows) {
    return fail(ErrorCode::kInvalidArgument, "the policy " + std::string(policy.name) +
                                                 " computes one prompt by itself; it cannot be scheduled");
  }
  auto scheduled = std::make_unique<Scheduled>(std::move(request));
  const bool is_stream = scheduled->request.stream.has_value();
  scheduled->capacity_tokens = is_stream ? stream_shape(engine, *scheduled->request.stream).capacity_tokens
                                         : n_prompt + std::min(options.context_tokens - n_prompt,
                                                               scheduled->request.options.max_tokens);
  scheduled->reserved_bytes =
      needed_bytes(engine, std::min(n_prompt, scheduled->capacity_tokens), scheduled->capacity_tokens,
                   scheduled->request.cache_prompt && !plan->stages.empty() && !is_stream,
                   Drafting::most_rows(scheduled->request.options));
  if (scheduled->reserved_bytes > options.kv_memory_bytes) {
    return fail(ErrorCode::kOutOfMemory,
                "this prompt and its answer need " + mebibytes(scheduled->reserved_bytes) + " and " +
                    mebibytes(options.kv_memory_bytes) +
                    " is what requests may take; shorten it, ask for fewer tokens, or "
                    "raise --kv-memory");
  }
  return scheduled;
}

Result<void> Scheduler::Impl::submit(std::vector<Request> requests) {
  std::deque<std::unique_ptr<Scheduled>> all;
  for (Request& request : requests) {
    auto one = checked(std::move(request));
    if (!one) return tl::unexpected(one.error());
    (*one)->on_stop.emplace((*one)->request.callbacks.stop, [this] { call(); });
    all.push_back(std::move(*one));
  }
  {
    const std::scoped_lock lock(mutex);
    const size_t n_waiting = inbox.size() + turns.n_waiting();
    if (n_waiting + all.size() > options.max_queue) {
      return fail(ErrorCode::kBusy, std::to_string(n_waiting) + " requests are waiting and " +
                                        std::to_string(options.max_queue) +
                                        " may; try again later, or raise --queue");
    }
    for (auto& one : all) {
      inbox.push_back(std::move(one));
      inbox.back()->is_queued = true;
    }
    if (turns.has_room()) turns.interrupt();
  }
  wake.notify_all();
  return {};
}

// Takes what has come, and makes a turn; false: everything is to end.
bool Scheduler::Impl::take_turn() {
  std::deque<std::unique_ptr<Scheduled>> arrived;
  {
    std::unique_lock lock(mutex);
    status = turns.status();
    notes = turns.notes();
    if (is_idle) wake.wait(lock, [&] { return quits || is_called || !inbox.empty(); });
    if (quits) return false;
    is_called = false;
    turns.listen();
    arrived.swap(inbox);
    for (auto& request : arrived) turns.arrive(std::move(request));
  }
  is_idle = !turns.turn();
  return true;
}

void Scheduler::Impl::run() {
  for (bool goes_on = true; goes_on;) {
    try {
      goes_on = take_turn();
    } catch (const std::bad_alloc&) {  // where no single request could be blamed
      turns.end_all({ErrorCode::kOutOfMemory, "not enough memory for what is computed together"});
    }
  }
  const Error error{ErrorCode::kCancelled, "stopped, because everything is stopped"};
  for (auto& request : inbox) request->end(tl::unexpected(error));
  inbox.clear();
  turns.end_all(error);
  turns.save_all();
}

Result<Scheduler> Scheduler::start(const Engine& engine, const SchedulerOptions& options) {
  auto executor = engine.start_executor({options.n_threads});
  if (!executor) return tl::unexpected(executor.error());
  return start(*executor, options);
}

Result<Scheduler> Scheduler::start(const Executor& executor, const SchedulerOptions& options) {
  const size_t most = executor.engine().info().context_length;
  if (options.context_tokens > most) {
    return fail(ErrorCode::kInvalidArgument, "a context of " + std::to_string(options.context_tokens) +
                                                 " tokens is more than this model's " + std::to_string(most));
  }
  if (options.max_sequences == 0 || !(options.turn_ms > 0))
    return fail(ErrorCode::kInvalidArgument, "a scheduler needs at least one sequence and a turn above 0 ms");
  SchedulerOptions resolved = options;
  if (resolved.context_tokens == 0) resolved.context_tokens = most;
  if (resolved.kv_memory_bytes == 0) {
    const uint64_t free = free_memory_bytes();
    resolved.kv_memory_bytes = free == 0 ? kUnknownMemory : free / 2;
  }
  return guard_memory(
      [&]() -> Result<Scheduler> {
        std::optional<PrefixFolder> folder;
        if (!resolved.state_folder.empty()) {
          auto opened = PrefixFolder::open(
              resolved.state_folder, prefix_form(*executor.impl_->engine, resolved), resolved.state_bytes);
          if (!opened) return tl::unexpected(opened.error());
          folder.emplace(std::move(*opened));
        }
        auto impl = std::make_unique<Impl>(executor.impl_, resolved, std::move(folder));
        impl->status = impl->turns.status();
        impl->notes = impl->turns.notes();
        try {
          impl->thread = std::thread([&impl = *impl] { impl.run(); });
        } catch (const std::system_error&) {
          return fail(ErrorCode::kOutOfMemory, "the system lets no further thread start; use fewer threads");
        }
        return Scheduler(std::move(impl));
      },
      [] { return std::string("not enough memory for the scheduler"); });
}

Scheduler::Scheduler(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Scheduler::Scheduler(Scheduler&&) noexcept = default;
Scheduler& Scheduler::operator=(Scheduler&&) noexcept = default;
Scheduler::~Scheduler() = default;

const Engine& Scheduler::engine() const {
  return impl_->executor->handle;
}

Result<void> Scheduler::submit(Request request) {
  std::vector<Request> one;
  one.push_back(std::move(request));
  return impl_->submit(std::move(one));
}

Result<void> Scheduler::submit(std::vector<Request> requests) {
  return impl_->submit(std::move(requests));
}

Result<Generation> Scheduler::generate(Request request) {
  std::promise<Result<Generation>> promise;
  request.on_end = [&](Result<Generation> result) { promise.set_value(std::move(result)); };
  if (auto submitted = submit(std::move(request)); !submitted) return tl::unexpected(submitted.error());
  return promise.get_future().get();
}

std::vector<std::string> Scheduler::notes() const {
  const std::scoped_lock lock(impl_->mutex);
  return impl_->notes;
}

SchedulerStatus Scheduler::status() const {
  const std::scoped_lock lock(impl_->mutex);
  SchedulerStatus status = impl_->status;
  // Not the turn's before: those that it has admitted since would count beside those that came in their
  // place.
  status.n_queued = impl_->turns.n_waiting() + impl_->inbox.size();
  return status;
}

}  // namespace lazyfill
