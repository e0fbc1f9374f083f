// What an hour does to a scheduler, in some seconds: random arrivals, cancellations, failures and evictions
// at the memory bound. LAZYFILL_SOAK_SECONDS=3600 makes it the hour, LAZYFILL_SOAK_SEED another one.
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
namespace {

constexpr size_t kMaxSequences = 6;
constexpr size_t kMaxQueue = 12;
constexpr size_t kConversations = 8;
constexpr size_t kMostInFlight = 22;  // more than are computed and may wait
constexpr uint64_t kMemoryBytes = uint64_t{5} << 19;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kIsSanitized = true;  // what is freed stays resident there
#else
constexpr bool kIsSanitized = false;
#endif

uint64_t number_from_environment(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

double resident_mib() {
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

void Soak::begin(Conversation& conversation) {
  conversation.lazy = ways_[any(0, ways_.size() - 1)];
  conversation.n_dense = one_in(2) ? any(10, 50) : 0;
  conversation.salt = "conversation " + std::to_string(n_salts_++);
  // Its system message, whatever becomes of its first question.
  conversation.tokens = any_tokens(conversation.n_dense);
  conversation.log.clear();
  conversation.alone.emplace(*executor_->start_session({.lazy = conversation.lazy}));
  conversation.n_turns_left = any(2, 6);
}

std::shared_ptr<Sent> Soak::make(std::vector<int32_t> tokens, const LazyOptions& lazy) {
  auto sent = std::make_shared<Sent>();
  Request& request = sent->request;
  request.tokens = std::move(tokens);
  request.lazy = lazy;
  request.options.max_tokens = any(1, 14);
  request.options.sampling = {.temperature = one_in(2) ? 0.0F : 0.8F, .seed = random_() | 1};
  request.options.n_top_logprobs = 3;
  request.options.stop_at_end_token = one_in(2);
  request.priority = static_cast<int>(any(0, 2));
  decide_its_fate(*sent);
  return sent;
}

std::shared_ptr<Sent> Soak::next_of(size_t i) {
  Conversation& conversation = conversations_[i];
  if (conversation.n_turns_left == 0) begin(conversation);
  std::vector<int32_t> tokens = conversation.tokens;
  const std::vector<int32_t> more =
      any_tokens(tokens.size() == conversation.n_dense ? any(60, 160) : any(9, 30));
  tokens.insert(tokens.end(), more.begin(), more.end());
  auto sent = make(std::move(tokens), conversation.lazy);
  sent->conversation = i;
  sent->request.cache_salt = conversation.salt;
  sent->request.n_dense_tokens = conversation.n_dense;
  conversation.is_asked = true;
  return sent;
}

std::shared_ptr<Sent> Soak::anything() {
  const size_t i = any(0, kConversations - 1);
  if (one_in(2) && !conversations_[i].is_asked) return next_of(i);
  const LazyOptions& lazy = ways_[any(0, ways_.size() - 1)];
  if (one_in(40)) return make(any_tokens(600), lazy);  // more than the context holds
  auto sent = make(any_tokens(one_in(4) ? any(100, 300) : any(1, 60)), lazy);
  sent->request.n_dense_tokens = one_in(4) ? any(1, 40) : 0;
  sent->is_shared = one_in(3);
  sent->request.cache_prompt = sent->is_shared;
  if (sent->is_shared) {  // begins with one of a few documents
    const std::vector<int32_t> document = some_tokens(any(1, 120), static_cast<uint32_t>(any(1, 4)));
    sent->request.tokens.insert(sent->request.tokens.begin(), document.begin(), document.end());
  }
  return sent;
}

void Soak::decide_its_fate(Sent& sent) {
  std::vector<int32_t>& tokens = sent.request.tokens;
  switch (any(0, 11)) {
    case 0:
      sent.is_poisoned = true;
      tokens[tokens.size() - any(1, std::min<size_t>(tokens.size(), 9))] = kPoison;
      break;
    case 1:
      sent.stop_at_block = any(1, 30);
      break;
    case 2:
      sent.stop_at_token = any(1, 6);
      break;
    case 3:
      sent.stop_at_token = any(1, 6);
      sent.says_no = true;
      break;
    default:
      break;
  }
}

Request Soak::watched(const std::shared_ptr<Sent>& sent) {
  Request request = sent->request;
  request.callbacks.stop = sent->stop.get_token();
  request.callbacks.on_progress = [&sent = *sent](const Progress&) {
    if (++sent.n_blocks == sent.stop_at_block) sent.stop.request_stop();
  };
  request.callbacks.on_token = [&sent = *sent](int32_t, std::string_view) {
    if (++sent.n_tokens != sent.stop_at_token) return true;
    if (!sent.says_no) sent.stop.request_stop();
    return !sent.says_no;
  };
  request.on_end = [this, sent](Result<Generation> result) {
    if (sent->n_ends++ > 0) return;
    sent->result = std::move(result);
    const std::scoped_lock lock(mutex_);
    ended_.push_back(sent);
    changed_.notify_all();
  };
  return request;
}

void Soak::send(const std::vector<std::shared_ptr<Sent>>& all) {
  std::vector<Request> requests;
  for (const auto& sent : all) requests.push_back(watched(sent));
  const auto submitted = scheduler_->submit(std::move(requests));
  if (submitted) {
    n_taken_ += all.size();
    in_flight_.insert(in_flight_.end(), all.begin(), all.end());
    return;
  }
  const bool is_busy = submitted.error().code == ErrorCode::kBusy;
  ++(is_busy ? n_busy_ : n_too_large_);
  EXPECT_TRUE(is_busy || submitted.error().code == ErrorCode::kContextExceeded) << submitted.error().message;
  for (const auto& sent : all) {
    EXPECT_EQ(sent->n_ends, 0);
    if (sent->conversation == SIZE_MAX) continue;
    conversations_[sent->conversation].is_asked = false;
    if (!is_busy) conversations_[sent->conversation].n_turns_left = 0;  // it has grown too long
  }
}

void Soak::collect() {
  std::deque<std::shared_ptr<Sent>> ended;
  {
    const std::scoped_lock lock(mutex_);
    ended.swap(ended_);
  }
  for (const auto& sent : ended) {
    std::erase(in_flight_, sent);
    check(*sent);
  }
}

std::string Soak::description_of(const Sent& sent) {
  const Request& request = sent.request;
  std::string text = request.lazy.schedule + " policy " +
                     std::to_string(static_cast<int>(request.lazy.policy.value_or(Policy::kEnd))) + ", " +
                     std::to_string(request.tokens.size()) + " tokens, " +
                     std::to_string(request.n_dense_tokens) + " dense";
  if (!sent.result) return text + ": " + sent.result.error().message + "\n";
  return text + ": " + std::to_string(sent.result->prefix.n_cached_tokens) + " found, " +
         std::to_string(sent.result->token_ids.size()) + " of " + std::to_string(request.options.max_tokens) +
         " answered\n";
}

void Soak::check(Sent& sent) {
  if (sent.conversation != SIZE_MAX) {
    conversations_[sent.conversation].is_asked = false;
    conversations_[sent.conversation].log += description_of(sent);
  }
  SCOPED_TRACE(sent.conversation != SIZE_MAX ? conversations_[sent.conversation].log : description_of(sent));
  if (!sent.result) {
    const ErrorCode code = sent.result.error().code;
    ++(code == ErrorCode::kCancelled ? n_cancelled_ : n_failed_);
    if (code == ErrorCode::kCancelled) {
      EXPECT_TRUE(sent.is_stopped || sent.stop_at_block > 0);
    } else {
      EXPECT_TRUE(sent.is_poisoned) << sent.result.error().message;
      EXPECT_EQ(code, ErrorCode::kInvalidFile);
    }
    return;
  }
  EXPECT_FALSE(sent.is_poisoned);
  const bool is_partial = sent.result->finish_reason == FinishReason::kCancelled;
  ++(is_partial ? n_partial_ : n_whole_);
  if (is_partial) {
    EXPECT_TRUE(sent.is_stopped || sent.stop_at_token > 0 || sent.stop_at_block > 0);
  }
  check_answer(sent);
}

void Soak::check_answer(Sent& sent) {
  const Generation& got = *sent.result;
  if (sent.is_shared) {
    EXPECT_LT(got.prefix.n_cached_tokens, sent.request.tokens.size());
    EXPECT_LE(got.token_ids.size(), sent.request.options.max_tokens);
    return;
  }
  if (sent.conversation == SIZE_MAX) {
    EXPECT_EQ(got.prefix.n_cached_tokens, 0U);
    Session session = *executor_->start_session({.lazy = sent.request.lazy});
    expect_same_bits(got, expected_of(session, sent));
    return;
  }
  Conversation& conversation = conversations_[sent.conversation];
  if (conversation.tokens.size() > conversation.n_dense)
    ++(got.prefix.n_cached_tokens > 0 ? n_cached_ : n_forgotten_);
  expect_same_bits(got, expected_of(*conversation.alone, sent));
  conversation.tokens = sent.request.tokens;
  conversation.tokens.insert(conversation.tokens.end(), got.token_ids.begin(), got.token_ids.end());
  --conversation.n_turns_left;
}

// What a session says that takes back as many tokens as the scheduler found. What was stopped is compared as
// far as it came.
Generation Soak::expected_of(Session& session, const Sent& sent) {
  const Request& request = sent.request;
  const Generation& got = *sent.result;
  const std::span<const int32_t> tokens = request.tokens;
  const bool is_dense = request.lazy.schedule == kDense.schedule;
  const size_t n_dense = is_dense ? 0 : std::min(request.n_dense_tokens, tokens.size() - 1);
  const size_t n_cached = got.prefix.n_cached_tokens;
  size_t n_computed = std::min(n_cached, session.tokens().size());
  EXPECT_TRUE(session.rewind(n_computed));
  // Also what a request left that was stopped behind its dense part: no session has answered it.
  const size_t end = std::max(n_dense, n_cached);
  if (n_computed < end) {
    EXPECT_LE(end, n_dense);
    EXPECT_TRUE(session.set_lazy(kDense));
    EXPECT_TRUE(session.append(tokens.subspan(n_computed, end - n_computed)));
    EXPECT_TRUE(session.step());
    EXPECT_TRUE(session.set_lazy(request.lazy));
    n_computed = end;
  }
  GenerateOptions options = request.options;
  const bool is_partial = got.finish_reason == FinishReason::kCancelled;
  if (is_partial) options.max_tokens = got.token_ids.size();
  auto answer = session.generate(tokens.subspan(n_computed), options, {});
  EXPECT_TRUE(answer) << (answer ? "" : answer.error().message);
  if (!answer) return {};
  if (is_partial) {
    answer->finish_reason = FinishReason::kCancelled;
    answer->text = got.text;  // may end before a character that is not whole
  }
  return std::move(*answer);
}

void Soak::check_status() {
  const SchedulerStatus status = scheduler_->status();
  EXPECT_LE(status.n_queued, kMaxQueue);
  EXPECT_LE(status.n_prefilling + status.n_decoding, kMaxSequences);
  EXPECT_LE(status.prefix_bytes + status.kv_reserved_bytes, kMemoryBytes);
}

void Soak::run_for(double seconds) {
  const auto end =
      Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
  while (Clock::now() < end && !HasFailure()) {
    std::vector<std::shared_ptr<Sent>> all;
    for (size_t n = one_in(4) ? any(2, 5) : 1; n > 0; --n) all.push_back(anything());
    send(all);
    if (!in_flight_.empty() && one_in(15)) {
      Sent& sent = *in_flight_[any(0, in_flight_.size() - 1)];
      sent.is_stopped = true;
      sent.stop.request_stop();
    }
    check_status();
    {
      std::unique_lock lock(mutex_);
      if (in_flight_.size() >= any(3, kMostInFlight)) changed_.wait(lock, [&] { return !ended_.empty(); });
    }
    if (one_in(3)) std::this_thread::sleep_for(std::chrono::microseconds(any(0, 4000)));
    collect();
  }
}

void Soak::wait_for_the_end() {
  while (!in_flight_.empty()) {
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return !ended_.empty(); });
    }
    collect();
  }
  // The status is that of the turn before.
  SchedulerStatus status = scheduler_->status();
  while (status.n_ended < n_taken_ || status.kv_reserved_bytes > 0) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    status = scheduler_->status();
  }
  EXPECT_EQ(status.n_ended, n_taken_);
  EXPECT_EQ(status.n_queued + status.n_prefilling + status.n_decoding, 0U);
}

TEST_P(Soak, NothingIsLostAndNothingLeaks) {
  const auto seconds = static_cast<double>(number_from_environment("LAZYFILL_SOAK_SECONDS", 6)) / 3;
  run_for(seconds / 10);
  const double early_mib = resident_mib();
  run_for(seconds * 9 / 10);
  const double late_mib = resident_mib();
  wait_for_the_end();
  std::printf(
      "%lu taken: %lu answered, %lu in part, %lu cancelled, %lu failed; %lu found a full queue, %lu were too "
      "large; turns of conversations: %lu found what was kept, %lu nothing; resident %.1f MiB, then %.1f\n",
      n_taken_, n_whole_, n_partial_, n_cancelled_, n_failed_, n_busy_, n_too_large_, n_cached_, n_forgotten_,
      early_mib, late_mib);
  EXPECT_EQ(n_whole_ + n_partial_ + n_cancelled_ + n_failed_, n_taken_);
  for (uint64_t n : {n_whole_, n_partial_, n_cancelled_, n_failed_, n_cached_}) EXPECT_GT(n, 0U);
  // In a few seconds the heap has not seen its largest moment yet.
  if (seconds >= 60 && !kIsSanitized) {
    EXPECT_LT(late_mib, 1.05 * early_mib);
  }
}

// "What is not finished ends with kCancelled": once each.
TEST_P(Soak, TheEndComesInTheMiddle) {
  for (int round = 0; round < 20; ++round) {
    std::vector<std::shared_ptr<Sent>> all;
    for (int i = 0; i < 10; ++i) {
      all.push_back(make(any_tokens(any(1, 100)), ways_[any(0, ways_.size() - 1)]));
      send({all.back()});
    }
    std::this_thread::sleep_for(std::chrono::microseconds(any(0, 3000)));
    start_scheduler();
    for (const auto& sent : all) EXPECT_EQ(sent->n_ends, 1);
    in_flight_.clear();
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, Soak,
                         testing::Values(Kind{"as_computed", KvType::kAsComputed}, Kind{"q8", KvType::kQ8},
                                         Kind{"state_folder", KvType::kAsComputed, true}),
                         [](const auto& kind) { return kind.param.name; });

}  // namespace
}  // namespace lazyfill
