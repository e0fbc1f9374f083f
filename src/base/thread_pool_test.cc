#include "base/thread_pool.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <thread>
#include <vector>

namespace lazyfill {
namespace {

TEST(ThreadPool, RunsOnceOnEveryThread) {
  ThreadPool pool(4);
  std::vector<std::atomic<int>> calls(4);
  for (int round = 0; round < 1000; ++round) {
    pool.run([&](size_t thread) { ++calls[thread]; });
  }
  for (const auto& n : calls) EXPECT_EQ(n, 1000);
}

TEST(ThreadPool, WakesAfterSleep) {
  ThreadPool pool(3);
  std::atomic<int> n{0};
  pool.run([&](size_t) { ++n; });
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  pool.run([&](size_t) { ++n; });
  EXPECT_EQ(n, 6);
}

TEST(ThreadPool, AnExceptionReachesTheCallerAndThePoolGoesOn) {
  ThreadPool pool(3);
  EXPECT_THROW(pool.run([](size_t thread) {
    if (thread == 2) throw std::bad_alloc();
  }),
               std::bad_alloc);
  std::atomic<int> n{0};
  pool.run([&](size_t) { ++n; });
  EXPECT_EQ(n, 3);
}

// In a process of its own, whose address space has room for few stacks. Sanitizers need all of it.
TEST(ThreadPool, GoesOnWithTheThreadsThatTheSystemStarts) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "sanitizers reserve the whole address space";
#endif
  const auto few_threads_do_all = [] {
    const rlimit limit{size_t{400} << 20, size_t{400} << 20};
    if (setrlimit(RLIMIT_AS, &limit) != 0) return false;
    ThreadPool pool(1000);
    if (pool.n_threads() >= 1000) return false;
    std::atomic<size_t> n{0};
    for (int round = 0; round < 10; ++round) pool.run([&](size_t) { ++n; });
    return n == 10 * pool.n_threads();
  };
  alarm(60);
  EXPECT_EXIT(std::_Exit(few_threads_do_all() ? 0 : 1), testing::ExitedWithCode(0), "");
  alarm(0);
}

TEST(Team, EveryTaskExactlyOnce) {
  ThreadPool pool(3);
  for (const Team& team : {Team::all(pool), Team::alone()}) {
    std::vector<std::atomic<int>> done(257);
    team.for_each(done.size(), [&](size_t task, size_t thread) {
      ASSERT_LT(thread, team.n_threads());
      ++done[task];
    });
    for (const auto& n : done) EXPECT_EQ(n, 1);
  }
}

TEST(Team, AloneKeepsItsThreadIndex) {
  Team::alone(5).for_each(2, [](size_t, size_t thread) { EXPECT_EQ(thread, 5U); });
}

}  // namespace
}  // namespace lazyfill
