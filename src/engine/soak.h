// The requests of the soak test, and what is to become of each (soak_test.cc).
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <filesystem>
#include <fstream>
#include <memory>
#include <random>

#include "engine/scheduler_watch.h"

namespace lazyfill {

inline constexpr size_t kMaxSequences = 6;
inline constexpr size_t kMaxQueue = 12;
inline constexpr size_t kConversations = 8;
inline constexpr size_t kMostInFlight = 22;  // more than are computed and may wait
inline constexpr uint64_t kMemoryBytes = uint64_t{5} << 19;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool kIsSanitized = true;  // what is freed stays resident there
#else
inline constexpr bool kIsSanitized = false;
#endif

inline uint64_t number_from_environment(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

inline double resident_mib() {
  std::ifstream file("/proc/self/statm");
  double n_pages = 0;
  file >> n_pages >> n_pages;
  return n_pages * static_cast<double>(sysconf(_SC_PAGESIZE)) / (1 << 20);
}

// A request on its way, and what is to become of it.
struct Sent {
  Request request;  // as it was asked, without callbacks
  std::stop_source stop;
  size_t conversation = SIZE_MAX;
  bool is_shared = false;    // without a salt: what it finds is anybody's
  bool is_poisoned = false;  // a token of its prompt gives no numbers
  size_t stop_at_block = 0;  // 0: never
  size_t stop_at_token = 0;
  bool says_no = false;  // stops by what on_token returns
  bool is_stopped = false;
  size_t n_blocks = 0;
  size_t n_tokens = 0;
  std::atomic<int> n_ends{0};
  Result<Generation> result;
};

// One at a time is asked; a session computes the same history.
struct Conversation {
  LazyOptions lazy;
  size_t n_dense = 0;
  std::string salt;
  std::vector<int32_t> tokens;  // so far, answers included
  std::optional<Session> alone;
  bool is_asked = false;
  size_t n_turns_left = 0;
  std::string log;  // what was asked, for whoever has to find out
};

struct Kind {
  const char* name;
  KvType kv;
  bool has_folder = false;  // what leaves the memory may come back from disk
};

class Soak : public testing::TestWithParam<Kind> {
 protected:
  using Clock = std::chrono::steady_clock;

  void SetUp() override {
    random_.seed(number_from_environment("LAZYFILL_SOAK_SEED", 23));
    engine_ = load_tiny_engine(2, GetParam().kv);
    if (GetParam().has_folder) folder_ = testing::TempDir() + "soak_" + std::to_string(getpid());
    executor_.emplace(*engine_->start_executor({.n_threads = 1}));
    start_scheduler();
    for (const auto& [name, lazy] : ways_to_be_lazy()) {
      if (name == "dense" || policy_info(*lazy.policy).leaves == Leaves::kRows) ways_.push_back(lazy);
    }
    for (Conversation& conversation : conversations_) begin(conversation);
  }

  ~Soak() override {
    scheduler_.reset();
    if (!folder_.empty()) std::filesystem::remove_all(folder_);
  }

  void start_scheduler() {
    scheduler_.reset();
    auto scheduler = Scheduler::start(*engine_, {.n_threads = 1,
                                                 .max_sequences = kMaxSequences,
                                                 .max_queue = kMaxQueue,
                                                 .turn_ms = 0.2,
                                                 .kv_memory_bytes = kMemoryBytes,
                                                 .state_folder = folder_,
                                                 .state_bytes = 3 * kMemoryBytes,
                                                 .pack_tokens = 200});
    ASSERT_TRUE(scheduler) << scheduler.error().message;
    scheduler_.emplace(std::move(*scheduler));
  }

  size_t any(size_t from, size_t to) { return std::uniform_int_distribution<size_t>(from, to)(random_); }
  bool one_in(size_t n) { return any(1, n) == 1; }
  std::vector<int32_t> any_tokens(size_t n) { return some_tokens(n, static_cast<uint32_t>(random_())); }

  void begin(Conversation& conversation);
  std::shared_ptr<Sent> make(std::vector<int32_t> tokens, const LazyOptions& lazy);
  std::shared_ptr<Sent> next_of(size_t conversation);
  std::shared_ptr<Sent> anything();
  void decide_its_fate(Sent& sent);
  Request watched(const std::shared_ptr<Sent>& sent);
  void send(const std::vector<std::shared_ptr<Sent>>& all);
  void collect();
  static std::string description_of(const Sent& sent);
  void check(Sent& sent);
  void check_answer(Sent& sent);
  Generation expected_of(Session& session, const Sent& sent);
  void check_status();
  void run_for(double seconds);
  void wait_for_the_end();

  std::mt19937_64 random_;
  std::string folder_;  // empty: none
  std::optional<Engine> engine_;
  std::optional<Executor> executor_;
  std::vector<LazyOptions> ways_;
  std::array<Conversation, kConversations> conversations_;
  std::vector<std::shared_ptr<Sent>> in_flight_;
  std::mutex mutex_;  // of what follows
  std::condition_variable changed_;
  std::deque<std::shared_ptr<Sent>> ended_;
  std::optional<Scheduler> scheduler_;  // goes first: it calls

  uint64_t n_taken_ = 0;
  uint64_t n_busy_ = 0;
  uint64_t n_too_large_ = 0;
  uint64_t n_whole_ = 0;
  uint64_t n_partial_ = 0;
  uint64_t n_cancelled_ = 0;
  uint64_t n_failed_ = 0;
  uint64_t n_cached_ = 0;     // answers of conversations that began with what was kept
  uint64_t n_forgotten_ = 0;  // and those to later turns that found nothing
  uint64_t n_salts_ = 0;
};

}  // namespace lazyfill
