// Threads that are there when a loop needs them. A pool is created once and passed down; nothing is global.
#pragma once

#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
#include <type_traits>

namespace lazyfill {

// Non-owning reference to a callable: a loop body costs no allocation.
template <class Signature>
class FunctionRef;
template <class R, class... Args>
class FunctionRef<R(Args...)> {
 public:
  template <class F>
  requires(!std::is_same_v<std::remove_cvref_t<F>, FunctionRef>)
      FunctionRef(F&& f)  // NOLINT(google-explicit-constructor): a parameter type, as std::function is
      : object_(const_cast<void*>(static_cast<const void*>(std::addressof(f)))),
        call_([](void* object, Args... args) -> R {
          return (*static_cast<std::remove_reference_t<F>*>(object))(std::forward<Args>(args)...);
        }) {}
  R operator()(Args... args) const { return call_(object_, std::forward<Args>(args)...); }

 private:
  void* object_;
  R (*call_)(void*, Args...);
};

class ThreadPool {
 public:
  // n_threads includes the calling thread; 0 means one a core. Where the system refuses to start as many
  // (containers and users have limits, memory ends), there are fewer: ask n_threads().
  explicit ThreadPool(size_t n_threads = 0);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  size_t n_threads() const;

  // Calls fn(thread) once on every thread, 0 being the caller, and returns when all are done. Workers spin
  // briefly before they sleep, so a loop of many short calls pays no wake-up. Not reentrant; one caller at a
  // time. An exception of fn is thrown again here once all threads are done; of several, one.
  void run(FunctionRef<void(size_t thread)> fn);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// The threads a computation may use: either the whole pool or just the calling thread. Kernels' drivers take
// a Team, so that the same code runs inside a loop over row blocks and, for few rows, across the columns.
class Team {
 public:
  static Team alone() { return Team(nullptr, 0); }
  static Team alone(size_t thread) { return Team(nullptr, thread); }
  static Team all(ThreadPool& pool) { return Team(&pool, 0); }

  size_t n_threads() const { return pool_ == nullptr ? 1 : pool_->n_threads(); }

  // fn(task, thread) for every task in [0, n_tasks), dealt out one at a time in increasing order. `thread` is
  // below the pool's n_threads() and unique among those running: an index for per-thread scratch space.
  void for_each(size_t n_tasks, FunctionRef<void(size_t task, size_t thread)> fn) const {
    if (pool_ == nullptr || n_tasks <= 1) {
      for (size_t task = 0; task < n_tasks; ++task) fn(task, thread_);
      return;
    }
    std::atomic<size_t> next{0};
    pool_->run([&](size_t thread) {
      for (size_t task = next++; task < n_tasks; task = next++) fn(task, thread);
    });
  }

 private:
  Team(ThreadPool* pool, size_t thread) : pool_(pool), thread_(thread) {}
  ThreadPool* pool_;
  size_t thread_;  // index of the calling thread
};

}  // namespace lazyfill
