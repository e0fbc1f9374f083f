// Memory that ends at any place while a model is loaded and a session started: an error value, and nothing
// that still runs or is lost. What the system gives in pages, tests/python/test_limits.py takes away.
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <limits>
#include <new>
#include <numeric>
#include <optional>
#include <string_view>
#include <vector>

#include "cache/prefix_store.h"
#include "cache/sequence_cache.h"
#include "engine/tiny_model_file.h"
#include "lazyfill/engine.h"

namespace {

// Allocations that still succeed; then one fails, or all.
constexpr long kNoLimit = std::numeric_limits<long>::max();
std::atomic<long> n_left{kNoLimit};
std::atomic<bool> fails_once{false};

void* allocate(size_t n_bytes, size_t alignment) {
  if (n_left != kNoLimit) {
    const long before = n_left.fetch_sub(1);
    if (before == 0 || (before < 0 && !fails_once)) throw std::bad_alloc();
  }
  const size_t whole = (n_bytes + alignment - 1) / alignment * alignment;
  void* memory = alignment <= alignof(std::max_align_t) ? std::malloc(n_bytes == 0 ? 1 : n_bytes)
                                                        : std::aligned_alloc(alignment, whole);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace

void* operator new(size_t n_bytes) {
  return allocate(n_bytes, 1);
}
void* operator new(size_t n_bytes, std::align_val_t alignment) {
  return allocate(n_bytes, static_cast<size_t>(alignment));
}
void* operator new(size_t n_bytes, const std::nothrow_t& /*tag*/) noexcept {
  try {
    return allocate(n_bytes, 1);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, size_t) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::align_val_t) noexcept {
  std::free(memory);
}
void operator delete(void* memory, size_t, std::align_val_t) noexcept {
  std::free(memory);
}

namespace lazyfill {
namespace {

// Calls `attempt`, which says whether it succeeded, with memory for ever more allocations, until it does.
void expect_success_in_the_end(bool once, const std::function<bool()>& attempt) {
  long n_failed = 0;
  constexpr long kFar = 1000000;
  for (long n = 0; n < kFar; n += 1 + n / 40) {
    fails_once = once;
    n_left = n;
    const bool done = attempt();
    const bool was_enough = n_left >= 0;
    n_left = kNoLimit;
    if (was_enough) {
      EXPECT_TRUE(done);
      EXPECT_GT(n_failed, 0);
      return;
    }
    n_failed += done ? 0 : 1;
  }
  FAIL() << "never enough memory";
}

class AllocationFailure : public testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    TinyModelFile file;
    file.set("tokenizer.chat_template", std::string("{{ messages[0].content }}"));
    ASSERT_TRUE(file.save(path_));
  }
  void TearDown() override { std::filesystem::remove(path_); }

  const std::string path_ = testing::TempDir() + "allocation_" + std::to_string(getpid()) + ".gguf";
};

TEST_P(AllocationFailure, WhileLoadingIsAnError) {
  for (const size_t n_threads : {1, 3}) {
    const EngineOptions options{.n_threads = n_threads};
    expect_success_in_the_end(GetParam(), [&] {
      const auto engine = Engine::load(path_, options);
      EXPECT_TRUE(engine || !engine.error().message.empty());
      return engine.has_value();
    });
  }
}

TEST_P(AllocationFailure, WhileStartingASessionIsAnError) {
  const auto engine = Engine::load(path_, {.n_threads = 2});
  ASSERT_TRUE(engine) << engine.error().message;
  const std::string text = "the quick brown fox, and once more the quick brown fox";
  const ChatRequest request{.messages = {{"user", text}}};
  const std::vector<int32_t> tokens = *engine->tokenize(text);
  LazyOptions lazy;
  lazy.schedule = "0:0.5";
  const auto executor = engine->start_executor({});
  ASSERT_TRUE(executor) << executor.error().message;
  expect_success_in_the_end(GetParam(), [&] { return engine->start_executor({}).has_value(); });
  expect_success_in_the_end(GetParam(), [&] { return executor->start_session({64, lazy}).has_value(); });
  expect_success_in_the_end(GetParam(), [&] { return engine->tokenize(text).has_value(); });
  expect_success_in_the_end(GetParam(), [&] { return engine->apply_chat_template(request).has_value(); });
  expect_success_in_the_end(GetParam(), [&] { return executor->token_logprobs(tokens, {}).has_value(); });
}

TEST_P(AllocationFailure, WhileTokensAreSyncedLeavesTheSession) {
  const auto engine = Engine::load(path_, {.n_threads = 1});
  ASSERT_TRUE(engine) << engine.error().message;
  auto session = engine->start_session({64, {}});
  ASSERT_TRUE(session) << session.error().message;
  const std::vector<int32_t> before = {1, 2, 3, 4, 5, 6, 7, 8};
  ASSERT_TRUE(session->sync(before));
  ASSERT_TRUE(session->step());
  std::vector<int32_t> other(40, 9);
  other[0] = 1;
  expect_success_in_the_end(GetParam(), [&] {
    const bool done = session->sync(other).has_value();
    EXPECT_EQ(session->tokens(), done ? other : before);
    EXPECT_EQ(session->logits().empty(), done);
    return done;
  });
}

// Without memory for drafts an answer goes on without them; without memory for it the session is as it was.
TEST_P(AllocationFailure, WhileAnsweringWithDraftsLeavesTheSession) {
  const auto engine = Engine::load(path_, {.n_threads = 1});
  ASSERT_TRUE(engine) << engine.error().message;
  const std::vector<int32_t> before = {1, 2, 3, 4, 1, 2, 3};
  GenerateOptions options{.max_tokens = 16, .sampling = {.temperature = 0}, .stop_at_end_token = false};
  for (const char* schedule : {"off", "0:0.5"}) {
    auto session = engine->start_session({64, {.schedule = schedule}});
    ASSERT_TRUE(session) << session.error().message;
    const auto answer = [&] {
      EXPECT_TRUE(session->rewind(0));
      EXPECT_TRUE(session->append(before));
      return session->generate({}, options, {});
    };
    options.draft = Draft::kNone;
    const std::vector<int32_t> plain = answer()->token_ids;
    options.draft = Draft::kAuto;
    options.draft_tokens = 5;
    expect_success_in_the_end(GetParam(), [&] {
      const long limit = n_left.exchange(kNoLimit);
      EXPECT_TRUE(session->rewind(0));
      EXPECT_TRUE(session->append(before));
      n_left = limit;
      const auto got = session->generate({}, options, {});
      const long left = n_left.exchange(kNoLimit);
      if (!got) EXPECT_EQ(session->tokens(), before);
      if (got && std::string_view(schedule) == "off") EXPECT_EQ(got->token_ids, plain);
      n_left = left;
      return got.has_value();
    });
  }
}

// What it has forgotten cannot come back, but what it has computed stays, and it goes on from there.
TEST_P(AllocationFailure, AStreamGoesOnFromWhatItHasComputed) {
  const auto engine = Engine::load(path_, {.n_threads = 1});
  ASSERT_TRUE(engine) << engine.error().message;
  const std::vector<int32_t> text(150, 5);
  const GenerateOptions options{.max_tokens = 6, .sampling = {.temperature = 0}, .stop_at_end_token = false};
  for (const char* schedule : {"off", "0:0.5"}) {
    auto session = engine->start_session(
        {.lazy = {.schedule = schedule}, .stream = StreamOptions{.sinks = 2, .window = 9}});
    ASSERT_TRUE(session) << session.error().message;
    const std::span<const int32_t> prompt = std::span(text).first(schedule[0] == 'o' ? 150 : 60);
    expect_success_in_the_end(GetParam(), [&] {
      const long limit = n_left.exchange(kNoLimit);
      EXPECT_TRUE(session->rewind(0));
      EXPECT_TRUE(session->generate(std::span(text).first(12), options, {}));
      n_left = limit;
      const auto got = session->generate(prompt, options, {});
      const long left = n_left.exchange(kNoLimit);
      EXPECT_TRUE(session->generate(std::span(text).first(3), options, {}));
      n_left = left;
      return got.has_value();
    });
  }
}

TEST(AllocationFailureOfACache, UndoingACallNeedsNoMemory) {
  SequenceCache cache({.n_layers = 3, .n_kv_heads = 1, .head_dim = 8, .d_model = 8, .capacity_tokens = 16});
  cache.begin_call();
  cache.begin_step();
  cache.commit_step(4);
  n_left = 0;
  bool is_undone = true;
  try {
    cache.undo_call();
  } catch (const std::bad_alloc&) {
    is_undone = false;
  }
  n_left = kNoLimit;
  EXPECT_TRUE(is_undone);
  EXPECT_EQ(cache.n_tokens(), 0U);
}

// Of a store in which two sequences are kept, one that memory ends for leaves nothing behind; and whatever
// has happened, all of it can go, which takes no memory.
class AllocationFailureOfAPrefixStore : public testing::TestWithParam<bool> {
 protected:
  static constexpr size_t kTokens = 300;
  static SequenceCache computed(const PrefixPlan& plan) {
    SequenceCache cache(
        {.n_layers = 3, .n_kv_heads = 1, .head_dim = 8, .d_model = 8, .capacity_tokens = kTokens + 1});
    if (!plan.is_dense(3)) cache.keep_entered(plan.first_choosing);
    cache.begin_step();
    std::vector<TokenIndex> tokens(kTokens);
    std::iota(tokens.begin(), tokens.end(), 0);
    std::vector<int32_t> slots;
    for (size_t layer = 0; layer < 3; ++layer) cache.columns(layer).append(tokens, slots);
    cache.commit_step(kTokens);
    return cache;
  }
  static void keep(PrefixStore& store, const std::vector<int32_t>& tokens, const PrefixPlan& plan,
                   const SequenceCache& cache, std::string_view salt = "") {
    const size_t n_dense = plan.is_dense(3) ? kTokens : 120;
    store.keep(cache, {tokens, kTokens - 5, n_dense, plan, salt});
  }

  const PrefixPlan dense_{"dense", 3};
  const PrefixPlan lazy_{"1:0.5", 1};
};

TEST_P(AllocationFailureOfAPrefixStore, LeavesItAsItWas) {
  std::vector<int32_t> tokens(kTokens);
  std::iota(tokens.begin(), tokens.end(), 0);
  std::vector<int32_t> branch = tokens;
  branch[200] = -1;
  for (const PrefixPlan* plan : {&dense_, &lazy_}) {
    for (const std::string_view salt : {"", "a salt of its own, which is too long to lie in a string"}) {
      const SequenceCache cache = computed(*plan);
      expect_success_in_the_end(GetParam(), [&] {
        const long limit = n_left.exchange(kNoLimit);
        PrefixStore store(3);
        keep(store, tokens, dense_, computed(dense_));
        keep(store, tokens, lazy_, computed(lazy_));
        const uint64_t before = store.bytes();
        n_left = limit;
        bool done = true;
        try {
          keep(store, branch, *plan, cache, salt);
        } catch (const std::bad_alloc&) {
          done = false;
        }
        const long left = n_left.exchange(kNoLimit);
        EXPECT_TRUE(done || store.bytes() == before);
        SequenceCache found(
            {.n_layers = 3, .n_kv_heads = 1, .head_dim = 8, .d_model = 8, .capacity_tokens = kTokens});
        EXPECT_EQ(store.fill(found, {tokens, dense_, ""}).n_dense, kTokens - 1);
        n_left = 0;
        store.evict_to(0);
        n_left = left;
        EXPECT_EQ(store.bytes(), 0U);
        return done;
      });
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Memory, AllocationFailureOfAPrefixStore, testing::Bool(),
                         [](const auto& test) { return test.param ? "OfOne" : "OfAllThatFollow"; });

INSTANTIATE_TEST_SUITE_P(Engine, AllocationFailure, testing::Bool(),
                         [](const auto& test) { return test.param ? "OfOne" : "OfAllThatFollow"; });

}  // namespace
}  // namespace lazyfill
