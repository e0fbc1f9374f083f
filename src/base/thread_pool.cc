#include "base/thread_pool.h"

#include <condition_variable>
#include <exception>
#include <mutex>
#include <new>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace lazyfill {
namespace {

// About 50 microseconds: longer than the gap between two kernels of a decode step, shorter than a person
// notices.
constexpr int kSpins = 2000;
// How often the caller spins for its workers, offering them its core in between, before it sleeps. It must
// sleep in the end: each yield moves a thread back in the scheduler's queue, and one that yields on and on
// while something else wants the core is put off for seconds.
constexpr int kRounds = 10;

void pause_briefly() {
#if defined(__x86_64__)
  _mm_pause();
#else
  std::this_thread::yield();
#endif
}

}  // namespace

struct ThreadPool::State {
  std::vector<std::thread> workers;
  const FunctionRef<void(size_t)>* job = nullptr;
  std::atomic<uint64_t> generation{0};  // counts jobs; a change wakes the workers
  std::atomic<size_t> n_running{0};
  std::atomic<bool> quit{false};
  std::mutex mutex;
  std::condition_variable wake;
  std::condition_variable done;
  std::exception_ptr error;  // the first exception of the current job, guarded by the mutex

  void run_job(size_t thread) {
    try {
      (*job)(thread);
    } catch (...) {
      std::lock_guard lock(mutex);
      if (!error) error = std::current_exception();
    }
  }

  void work(size_t thread) {
    uint64_t seen = 0;
    while (true) {
      seen = wait_for_job(seen);
      if (quit) return;
      run_job(thread);
      if (n_running.fetch_sub(1, std::memory_order_acq_rel) > 1) continue;
      // The lock closes the gap between the caller's last look and its going to sleep.
      std::lock_guard lock(mutex);
      done.notify_one();
    }
  }

  uint64_t wait_for_job(uint64_t seen) {
    for (int i = 0; i < kSpins; ++i) {
      const uint64_t now = generation.load(std::memory_order_acquire);
      if (now != seen) return now;
      pause_briefly();
    }
    std::unique_lock lock(mutex);
    wake.wait(lock, [&] { return generation.load(std::memory_order_acquire) != seen; });
    return generation.load(std::memory_order_acquire);
  }

  void wait_for_workers() {
    const auto finished = [&] { return n_running.load(std::memory_order_acquire) == 0; };
    for (int round = 0; round < kRounds; ++round) {
      for (int i = 0; i < kSpins; ++i) {
        if (finished()) return;
        pause_briefly();
      }
      std::this_thread::yield();
    }
    std::unique_lock lock(mutex);
    done.wait(lock, finished);
  }

  void announce() {
    {
      // The lock closes the gap between a worker's last look and its going to sleep.
      std::lock_guard lock(mutex);
      generation.fetch_add(1, std::memory_order_acq_rel);
    }
    wake.notify_all();
  }

  // Also false where there is no memory for what stands for the thread here.
  bool start_worker() {
    try {
      workers.emplace_back([this, thread = workers.size() + 1] { work(thread); });
      return true;
    } catch (const std::system_error&) {
    } catch (const std::bad_alloc&) {
    }
    return false;
  }

  // Workers use all that is above: none may be left when this goes.
  ~State() {
    quit = true;
    announce();
    for (std::thread& worker : workers) worker.join();
  }
};

ThreadPool::ThreadPool(size_t n_threads) : state_(std::make_unique<State>()) {
  if (n_threads == 0) n_threads = std::max<size_t>(1, std::thread::hardware_concurrency());
  while (state_->workers.size() + 1 < n_threads && state_->start_worker()) {
  }
}

ThreadPool::~ThreadPool() = default;

size_t ThreadPool::n_threads() const {
  return state_->workers.size() + 1;
}

void ThreadPool::run(FunctionRef<void(size_t)> fn) {
  State& state = *state_;
  if (state.workers.empty()) {
    fn(0);
    return;
  }
  state.job = &fn;
  state.n_running.store(state.workers.size(), std::memory_order_release);
  state.announce();
  state.run_job(0);
  state.wait_for_workers();
  if (state.error) std::rethrow_exception(std::exchange(state.error, nullptr));
}

}  // namespace lazyfill
