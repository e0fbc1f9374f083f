// Drafts with pruned prompts, with rivals, and in company.
#include <gtest/gtest.h>

#include <algorithm>

#include "engine/drafting.h"
#include "engine/memory_need.h"
#include "engine/scheduler_watch.h"

namespace lazyfill {
namespace {

Request drafted(Request request, Draft draft, size_t n_drafts = 0) {
  request.options.draft = draft;
  request.options.draft_tokens = n_drafts;
  return request;
}

// Where the model is told what to say, a text that repeats itself is guessed, whatever the model would say.
Request repeating(Request request) {
  const std::vector<int32_t> part = some_tokens(6, 5);
  for (size_t i = 0; i < request.options.max_tokens; ++i)
    request.options.forced_tokens.push_back(part[i % part.size()]);
  request.options.n_top_logprobs = 5;
  return request;
}

bool same_logprobs(const Generation& a, const Generation& b) {
  return std::ranges::equal(a.top_logprobs, b.top_logprobs, [](const auto& x, const auto& y) {
    return std::ranges::equal(x, y, [](const TokenLogprob& one, const TokenLogprob& other) {
      return one.id == other.id && one.logprob == other.logprob;
    });
  });
}

const std::vector<LazyOptions>& scheduled_ways() {
  static const std::vector<LazyOptions> ways = [] {
    std::vector<LazyOptions> all;
    for (const auto& [name, lazy] : ways_to_be_lazy()) {
      if (name == "dense" || policy_info(*lazy.policy).leaves == Leaves::kRows) all.push_back(lazy);
    }
    return all;
  }();
  return ways;
}

TEST(ScheduledDrafts, AnAnswerIsThatOfASessionAlone) {
  Journal journal;
  std::vector<Request> requests;
  constexpr Draft kKinds[] = {Draft::kNone, Draft::kRecycle, Draft::kLookup, Draft::kAuto};
  for (uint32_t i = 0; i < 16; ++i) {
    const size_t n_drafts = i % 3 == 0 ? 0 : i;
    Request request = drafted(request_of(1 + 23 * i, i, 6 + 3 * i), kKinds[i % 4], n_drafts);
    requests.push_back(i % 5 < 3 ? repeating(std::move(request)) : std::move(request));
  }
  Scheduler scheduler = scheduler_of({.n_threads = 1});
  for (size_t i = 0; i < requests.size(); ++i)
    ASSERT_TRUE(scheduler.submit(journal.of(std::to_string(i), requests[i])));
  size_t n_accepted = 0;
  size_t n_tokens = 0;
  for (size_t i = 0; i < requests.size(); ++i) {
    SCOPED_TRACE(i);
    const auto got = journal.result(std::to_string(i));
    ASSERT_TRUE(got) << got.error().message;
    n_accepted += got->drafts.n_accepted;
    n_tokens += got->token_ids.size();
    Request plain = requests[i];
    plain.options.draft = Draft::kNone;
    const Generation expected = alone(plain);
    expect_same(*got, expected);
    EXPECT_TRUE(same_logprobs(*got, expected));
  }
  EXPECT_GT(n_accepted, 20U);
  EXPECT_EQ(scheduler.status().n_generated_tokens, n_tokens);
}

// A pruned prompt's text may differ with drafts, but by nothing else: neither company, nor what was answered
// before, nor how long steps take.
TEST(ScheduledDrafts, APrunedPromptsAnswerDependsOnItselfAlone) {
  const std::vector<LazyOptions>& ways = scheduled_ways();
  std::vector<Request> requests;
  for (uint32_t i = 0; i < ways.size(); ++i)
    requests.push_back(drafted(request_of(60 + 5 * i, i, 24, ways[i]), Draft::kAuto, i % 4 == 0 ? 0 : 9));
  size_t n_proposed = 0;
  for (int round = 0; round < 2; ++round) {
    Journal journal;
    Scheduler scheduler = scheduler_of({.n_threads = 1});
    for (size_t i = 0; i < requests.size(); ++i)
      ASSERT_TRUE(scheduler.submit(journal.of(std::to_string(i), requests[i])));
    for (size_t i = 0; i < requests.size(); ++i) {
      SCOPED_TRACE(i);
      const auto got = journal.result(std::to_string(i));
      ASSERT_TRUE(got) << got.error().message;
      n_proposed += got->drafts.n_proposed;
      expect_same(*got, alone(requests[i]));
    }
  }
  EXPECT_GT(n_proposed, 100U);
}

// Where nothing is left out, a choice is no choice: the text is the dense one, with every policy.
TEST(ScheduledDrafts, KeepingEverythingIsDense) {
  const Generation expected = alone(repeating(request_of(90, 5, 30)));
  for (const auto& [name, lazy] : ways_to_be_lazy()) {
    SCOPED_TRACE(name);
    LazyOptions everything = lazy;
    if (name != "dense") everything.schedule = "1:1,3:1";
    const Generation got = alone(drafted(repeating(request_of(90, 5, 30, everything)), Draft::kAuto, 12));
    EXPECT_TRUE(same_logprobs(got, expected));
    EXPECT_GT(got.drafts.n_accepted, 0U);
  }
}

// Rivals choose once: the steps of an answer are plain ones, and drafts change nothing.
TEST(ScheduledDrafts, RivalsAnswerAsWithout) {
  for (const auto& [name, lazy] : ways_to_be_lazy()) {
    if (name == "dense" || policy_info(*lazy.policy).leaves == Leaves::kRows) continue;
    SCOPED_TRACE(name);
    const Request plain = repeating(request_of(80, 3, 30, lazy));
    const Generation got = alone(drafted(plain, Draft::kAuto, 12));
    EXPECT_TRUE(same_logprobs(got, alone(plain)));
    EXPECT_GT(got.drafts.n_accepted, 0U);
  }
}

// What was not accepted leaves nothing: neither columns nor states, and what may come back is what it would
// be.
TEST(ScheduledDrafts, NothingIsLeftOfWhatIsRejected) {
  const Executor executor = *tiny_engine().start_executor({});
  for (const LazyOptions& lazy : scheduled_ways()) {
    Session session = *executor.start_session({.lazy = lazy});
    GenerateOptions options = drafted(request_of(1, 1, 20), Draft::kRecycle, 30).options;
    const auto answer = session.generate(some_tokens(70, 2), options, {});
    ASSERT_TRUE(answer) << answer.error().message;
    EXPECT_GT(answer->drafts.n_proposed, 2 * answer->drafts.n_accepted);
    // At most the columns of every token but the last in every layer, and a state of each where it left.
    const uint64_t n_tokens = 70 + answer->token_ids.size() - 1;
    const Generation dense = alone(request_of(n_tokens, 4, 1));
    EXPECT_LE(answer->memory.kv_bytes, dense.memory.kv_bytes);
    EXPECT_LE(answer->memory.aux_bytes, n_tokens * kTinyEngine.d_model * sizeof(float));
    // All of it can be gone back to and gone on from.
    ASSERT_TRUE(session.rewind(75));
    const auto next = session.generate(some_tokens(6, 3), options, {});
    ASSERT_TRUE(next) << next.error().message;
    ASSERT_TRUE(session.rewind(0));
    const auto again = session.generate(some_tokens(70, 2), options, {});
    ASSERT_TRUE(again) << again.error().message;
    EXPECT_EQ(again->token_ids, answer->token_ids);
  }
}

TEST(ScheduledDrafts, TheirMemoryIsReserved) {
  Request plain = request_of(20, 1, 4);
  const uint64_t logits = Drafting::most_rows(drafted(plain, Draft::kAuto).options);
  EXPECT_EQ(logits, 32U);
  EXPECT_EQ(Drafting::most_rows(drafted(plain, Draft::kAuto, 80).options), 81U);
  EXPECT_EQ(Drafting::most_rows(drafted(plain, Draft::kAuto, 800).options), 81U);
  EXPECT_EQ(Drafting::most_rows(drafted(plain, Draft::kLookup, 3).options), 4U);
  EXPECT_EQ(Drafting::most_rows(drafted(plain, Draft::kNone, 3).options), 1U);
  // A bound that the request fits into without drafts, and not with them.
  const auto submits = [](uint64_t bytes, const Request& request) {
    Scheduler scheduler = scheduler_of({.context_tokens = 64, .kv_memory_bytes = bytes});
    return scheduler.generate(request).has_value();
  };
  uint64_t enough = 1024;
  while (!submits(enough, plain)) enough += 1024;
  EXPECT_FALSE(submits(enough, drafted(plain, Draft::kAuto)));
  EXPECT_TRUE(submits(enough + (uint64_t{1} << 20), drafted(plain, Draft::kAuto)));
}

}  // namespace
}  // namespace lazyfill
