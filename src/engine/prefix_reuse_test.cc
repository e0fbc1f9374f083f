// A hit in the prefix store equals one Session that computed the same history, bit for bit.
#include <gtest/gtest.h>

#include "engine/scheduler_watch.h"

namespace lazyfill {
namespace {

std::vector<int32_t> joined(std::vector<int32_t> a, const std::vector<int32_t>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

Request asked(std::vector<int32_t> tokens, const LazyOptions& lazy, size_t max_tokens = 5) {
  Request request = request_of(1, 1, max_tokens, lazy);
  request.tokens = std::move(tokens);
  request.options.n_top_logprobs = 3;
  request.cache_prompt = true;
  return request;
}

// By turns of both, the session takes back as much as the scheduler found.
class Reuse : public testing::TestWithParam<KvType> {
 protected:
  void SetUp() override {
    engine_ = load_tiny_engine(2, GetParam());
    scheduler_.emplace(*Scheduler::start(*engine_, {.kv_memory_bytes = uint64_t{1} << 30}));
  }

  Session session(const LazyOptions& lazy) const {
    return std::move(*engine_->start_session({.lazy = lazy}));
  }
  Generation scheduled(const Request& request) {
    auto answer = scheduler_->generate(request);
    EXPECT_TRUE(answer) << (answer ? "" : answer.error().message);
    return answer ? *answer : Generation{};
  }
  // The session's answer to the same tokens, of which it computes those that the scheduler computed.
  static void expect_turn(Session& session, const Request& request, const Generation& got) {
    const size_t n_cached = got.prefix.n_cached_tokens;
    ASSERT_TRUE(session.rewind(n_cached));
    const auto rest = std::span(request.tokens).subspan(n_cached);
    const auto expected = session.generate(rest, request.options, {});
    ASSERT_TRUE(expected);
    expect_same_bits(got, *expected);
  }

  std::optional<Engine> engine_;
  std::optional<Scheduler> scheduler_;
};

TEST_P(Reuse, AConversationOfFiveTurns) {
  uint32_t seed = 1000;
  for (const auto& [name, lazy] : ways_to_be_lazy()) {
    if (name != "dense" && policy_info(*lazy.policy).leaves != Leaves::kRows) continue;
    SCOPED_TRACE(name);
    Session alone = session(lazy);
    std::vector<int32_t> tokens = some_tokens(70, ++seed);
    for (uint32_t turn = 0; turn < 5; ++turn) {
      const Request request = asked(tokens, lazy);
      const Generation got = scheduled(request);
      if (turn > 0) {
        EXPECT_GE(got.prefix.n_cached_tokens, tokens.size() - 25) << turn;
      }
      expect_turn(alone, request, got);
      // The answer's last token is not computed, and the next turn spells it as it was.
      tokens = joined(joined(tokens, got.token_ids), some_tokens(9, 100 + turn));
    }
  }
}

TEST_P(Reuse, DenseAtAnyCut) {
  const std::vector<int32_t> document = some_tokens(300, 1);
  scheduled(asked(document, kDense));
  for (size_t cut : {1, 15, 64, 100, 255, 256, 257, 299}) {
    const auto tokens = joined({document.begin(), document.begin() + static_cast<std::ptrdiff_t>(cut)},
                               {189, 188, 187, 3, 4});
    const Request request = asked(tokens, kDense);
    const Generation got = scheduled(request);
    EXPECT_EQ(got.prefix.n_cached_tokens, cut);
    Session alone = session(kDense);
    ASSERT_TRUE(alone.generate(document, request.options, {}));
    expect_turn(alone, request, got);
  }
}

TEST_P(Reuse, TheSameQuestionAgain) {
  for (const LazyOptions& lazy : {kDense, kFocused}) {
    Session alone = session(lazy);
    const Request request = asked(some_tokens(150, lazy.schedule == "off" ? 2 : 3), lazy);
    for (int i = 0; i < 3; ++i) {
      const Generation got = scheduled(request);
      EXPECT_EQ(got.prefix.n_cached_tokens, i == 0 ? 0U : 150U - (lazy.schedule == "off" ? 1 : 8));
      expect_turn(alone, request, got);
    }
  }
}

TEST_P(Reuse, ASecondQuestionUnderASalt) {
  Session alone = session(kFocused);
  const std::vector<int32_t> document = some_tokens(200, 3);
  for (uint32_t question = 0; question < 3; ++question) {
    Request request = asked(
        joined(document, joined({static_cast<int32_t>(question)}, some_tokens(12, 50 + question))), kFocused);
    request.cache_salt = "mine";
    std::vector<size_t> found;  // told before anything is computed
    request.on_start = [&](const PrefixReport& prefix) { found.push_back(prefix.n_cached_tokens); };
    const Generation got = scheduled(request);
    EXPECT_EQ(found, std::vector<size_t>{got.prefix.n_cached_tokens});
    EXPECT_EQ(got.prefix.n_cached_tokens, question == 0 ? 0U : 200U);
    expect_turn(alone, request, got);
  }
}

// Without a salt it shares what knows of no question: the same as a session of which the first question kept
// nothing above the choosing layer. (The document ends with a tile of 64 columns: within one, the last bits
// of a row know how large the columns behind it are.)
TEST_P(Reuse, ASecondQuestionWithoutOne) {
  const std::vector<int32_t> document = some_tokens(192, 4);
  const auto with_question = [&](uint32_t question) {
    return joined(document, joined({static_cast<int32_t>(question)}, some_tokens(12, 50 + question)));
  };
  scheduled(asked(with_question(0), kFocused));
  const Generation lazy = scheduled(asked(with_question(1), kFocused));
  EXPECT_EQ(lazy.prefix.n_cached_tokens, 192U);
  EXPECT_GT(lazy.lazy.revived_rows, 50U);
  // Whoever asks does not matter: another first question leaves the same behind.
  scheduler_.emplace(*Scheduler::start(*engine_, {.kv_memory_bytes = uint64_t{1} << 30}));
  scheduled(asked(with_question(2), kFocused));
  expect_same_bits(scheduled(asked(with_question(1), kFocused)), lazy);
}

// A dense request after a lazy one has all its tokens computed in all layers, and by columns that are rounded
// as any session's are that goes on.
TEST_P(Reuse, DenseAfterLazy) {
  const std::vector<int32_t> document = some_tokens(200, 5);
  const Request first = asked(joined(document, {7, 8}), kFocused);
  scheduled(first);
  const Request request = asked(joined(document, {9, 10, 11}), kDense);
  const Generation got = scheduled(request);
  EXPECT_EQ(got.prefix.n_cached_tokens, 200U);
  EXPECT_EQ(got.lazy.revived_rows, 200U);
  for (double fraction : got.lazy.computed_fraction) EXPECT_EQ(fraction, 1);
  if (GetParam() == KvType::kAsComputed) {  // with columns of 8 bits, a fresh run's are far less rounded
    const Generation fresh = alone(request);
    EXPECT_NEAR(got.top_logprobs[0][0].logprob, fresh.top_logprobs[0][0].logprob, 0.02);
  }
  // From here on it is dense, and serves dense requests as such.
  const Generation again = scheduled(asked(joined(document, {12, 13}), kDense));
  EXPECT_EQ(again.prefix.n_cached_tokens, 200U);
  EXPECT_EQ(again.lazy.revived_rows, 0U);
}

TEST_P(Reuse, ADensePartIsComputedByTheWholeModelAndStays) {
  const std::vector<int32_t> system = some_tokens(60, 6);
  const auto with_user = [&](uint32_t user) {
    return joined(system, joined({static_cast<int32_t>(user)}, some_tokens(90, 70 + user)));
  };
  Request request = asked(with_user(1), kFocused);
  request.n_dense_tokens = system.size();
  const Generation got = scheduled(request);
  Session alone = session(kDense);
  ASSERT_TRUE(alone.append(system));
  ASSERT_TRUE(alone.step());
  ASSERT_TRUE(alone.set_lazy(kFocused));
  const auto expected = alone.generate(std::span(request.tokens).subspan(60), request.options, {});
  ASSERT_TRUE(expected);
  expect_same_bits(got, *expected);
  for (size_t layer = 0; layer < got.lazy.computed_fraction.size(); ++layer)
    EXPECT_GE(got.lazy.computed_fraction[layer] * 151, 60) << layer;
  // Another user begins with it, and so does a dense request.
  Request other = asked(with_user(2), kFocused);
  other.n_dense_tokens = system.size();
  EXPECT_EQ(scheduled(other).prefix.n_cached_tokens, 60U);
  EXPECT_EQ(scheduled(asked(joined(system, {187, 3}), kDense)).prefix.n_cached_tokens, 60U);
}

TEST_P(Reuse, NothingIsTakenOrLeftWhereItIsNotWanted) {
  Request request = asked(some_tokens(100, 8), kDense);
  request.cache_prompt = false;
  scheduled(request);
  request.cache_prompt = true;
  EXPECT_EQ(scheduled(request).prefix.n_cached_tokens, 0U);
  request.cache_prompt = false;
  EXPECT_EQ(scheduled(request).prefix.n_cached_tokens, 0U);
  request.cache_prompt = true;
  request.cache_salt = "mine";
  EXPECT_EQ(scheduled(request).prefix.n_cached_tokens, 0U);
}

TEST_P(Reuse, WhatIsKeptMakesRoomForWhatIsComputed) {
  scheduler_.emplace(*Scheduler::start(*engine_, {.kv_memory_bytes = uint64_t{2} << 20}));
  for (uint32_t i = 0; i < 30; ++i) {
    const Generation got = scheduled(asked(some_tokens(150 + i, i), i % 2 == 0 ? kDense : kFocused));
    EXPECT_EQ(got.token_ids.size(), 5U);
    const SchedulerStatus status = scheduler_->status();
    EXPECT_LE(status.prefix_bytes + status.kv_reserved_bytes, status.kv_memory_bytes);
  }
  EXPECT_GT(scheduler_->status().prefix_bytes, 0U);
}

// What lazy rows computed takes no dense part's place, whether another question left it or the same one; so
// dense requests get dense rows.
TEST_P(Reuse, ADensePartBehindALazyOneIsComputedByTheWholeModel) {
  const std::vector<int32_t> system = some_tokens(64, 6);
  const std::vector<int32_t> asked_before = joined(system, some_tokens(90, 71));
  for (const std::string salt : {"", "mine"}) {
    for (const auto& tokens : {joined(system, some_tokens(60, 72)), joined(asked_before, {7, 8, 9})}) {
      scheduler_.emplace(*Scheduler::start(*engine_, {.kv_memory_bytes = uint64_t{1} << 30}));
      Request before = asked(asked_before, kFocused);
      before.cache_salt = salt;
      scheduled(before);
      Request request = asked(tokens, kFocused);
      request.cache_salt = salt;
      request.n_dense_tokens = system.size();
      const Generation got = scheduled(request);
      Session alone = session(kDense);
      ASSERT_TRUE(alone.append(system));
      ASSERT_TRUE(alone.step());
      ASSERT_TRUE(alone.set_lazy(kFocused));
      const auto expected = alone.generate(std::span(tokens).subspan(system.size()), request.options, {});
      ASSERT_TRUE(expected);
      expect_same_bits(got, *expected);
      // It goes on with its own dense part, and a dense request begins with it.
      Request next = asked(joined(tokens, joined(got.token_ids, {3, 4})), kFocused);
      next.cache_salt = salt;
      next.n_dense_tokens = system.size();
      EXPECT_GE(scheduled(next).prefix.n_cached_tokens, tokens.size() - 5);
      Request dense = asked(joined(system, {187, 3, 5}), kDense);
      dense.cache_salt = salt;
      const Generation after = scheduled(dense);
      EXPECT_EQ(after.prefix.n_cached_tokens, system.size());
      EXPECT_EQ(after.lazy.revived_rows, 0U);
      Session all_dense = session(kDense);
      ASSERT_TRUE(all_dense.append(system));
      ASSERT_TRUE(all_dense.step());
      const auto same = all_dense.generate(std::vector<int32_t>{187, 3, 5}, dense.options, {});
      ASSERT_TRUE(same);
      expect_same_bits(after, *same);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Columns, Reuse, testing::Values(KvType::kAsComputed, KvType::kQ8),
                         [](const auto& type) { return type.param == KvType::kQ8 ? "q8" : "as_computed"; });

}  // namespace
}  // namespace lazyfill
