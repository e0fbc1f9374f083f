#include <gtest/gtest.h>

#include <functional>
#include <stop_token>

#include "engine/tiny_engine.h"

namespace lazyfill {
namespace {

constexpr size_t kContext = 120;
constexpr size_t kPrompt = 50;
const SamplingOptions kGreedy{.temperature = 0};

GenerateOptions greedy(size_t n_tokens) {
  return {.max_tokens = n_tokens, .sampling = kGreedy, .stop_at_end_token = false};
}

struct Answer {
  std::vector<int32_t> tokens;
  std::vector<std::vector<float>> logits;  // that each was chosen from

  friend bool operator==(const Answer&, const Answer&) = default;
};

class SessionTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (executor_ == nullptr)
      executor_ = new Executor(*load_tiny_engine(2).start_executor({.n_threads = 2}));  // for all tests
  }

  static Session start(const LazyOptions& lazy, size_t context_tokens = kContext) {
    return std::move(*executor_->start_session({.context_tokens = context_tokens, .lazy = lazy}));
  }

  static Answer answer(Session& session, const std::vector<int32_t>& prompt, const GenerateOptions& options) {
    Answer answer;
    auto generated = session.generate(prompt, options, {.on_logits = [&](std::span<const float> logits) {
                                        answer.logits.emplace_back(logits.begin(), logits.end());
                                      }});
    EXPECT_TRUE(generated) << generated.error().message;
    if (generated) answer.tokens = generated->token_ids;
    return answer;
  }

  // The same by append(), step() and sample().
  static Answer answer_in_steps(Session& session, const std::vector<int32_t>& prompt, size_t n_tokens) {
    Answer answer;
    EXPECT_TRUE(session.append(prompt));
    for (size_t i = 0; i < n_tokens; ++i) {
      EXPECT_TRUE(session.logits().empty());
      EXPECT_TRUE(session.step());
      answer.logits.emplace_back(session.logits().begin(), session.logits().end());
      answer.tokens.push_back(session.sample(kGreedy).value_or(-1));
    }
    return answer;
  }

  inline static Executor* executor_ = nullptr;
};

TEST_F(SessionTest, GenerateIsMadeOfTheSmallSteps) {
  for (const auto& [name, lazy] : ways_to_be_lazy()) {
    SCOPED_TRACE(name);
    Session whole = start(lazy);
    Session small = start(lazy);
    for (uint32_t turn = 0; turn < 3; ++turn) {
      const std::vector<int32_t> prompt = some_tokens(turn == 0 ? kPrompt : 7, turn);
      const Answer expected = answer(whole, prompt, greedy(9));
      EXPECT_EQ(answer_in_steps(small, prompt, 9), expected);
      EXPECT_EQ(small.tokens(), whole.tokens());
    }
  }
}

TEST_F(SessionTest, ASeedGoesOnDrawing) {
  Session whole = start({.schedule = "off"});
  Session small = start({.schedule = "off"});
  const SamplingOptions warm{.temperature = 5, .top_k = 0, .top_p = 1, .min_p = 0, .seed = 7};
  // A high temperature may draw the poison: what is drawn is compared, not computed.
  ASSERT_TRUE(small.append(some_tokens(5, 1)));
  ASSERT_TRUE(small.step());
  const int32_t drawn = small.sample(warm).value_or(-1);
  EXPECT_EQ(answer(whole, some_tokens(5, 1), {.max_tokens = 1, .sampling = warm, .stop_at_end_token = false})
                .tokens,
            std::vector<int32_t>{drawn});
}

TEST_F(SessionTest, SyncKeepsTheCommonBeginning) {
  const std::vector<int32_t> first = some_tokens(kPrompt, 1);
  const std::vector<int32_t> other = some_tokens(20, 2);
  for (size_t n_common : {0, 1, 17, 49, 50, 53}) {
    SCOPED_TRACE(n_common);
    Session session = start({.schedule = "off"});
    answer(session, first, greedy(5));
    std::vector<int32_t> text(session.tokens().begin(),
                              session.tokens().begin() + static_cast<std::ptrdiff_t>(n_common));
    text.insert(text.end(), other.begin(), other.end());
    text[n_common] = session.tokens()[n_common] == 3 ? 4 : 3;
    EXPECT_EQ(session.sync(text).value_or(999), n_common);
    EXPECT_EQ(session.tokens(), text);
    EXPECT_TRUE(session.logits().empty());
    Session fresh = start({.schedule = "off"});
    EXPECT_EQ(answer(session, {}, greedy(8)).tokens, answer(fresh, text, greedy(8)).tokens);
  }
}

TEST_F(SessionTest, SyncComputesTheLastTokenAgain) {
  const std::vector<int32_t> text = some_tokens(kPrompt, 1);
  Session session = start({.schedule = "off"});
  EXPECT_EQ(session.sync(text).value_or(999), 0U);
  ASSERT_TRUE(session.step());
  for (size_t n : {kPrompt, kPrompt, size_t{20}, size_t{1}}) {
    const std::vector<int32_t> part(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(n));
    EXPECT_EQ(session.sync(part).value_or(999), n - 1);
    EXPECT_EQ(session.tokens(), part);
    ASSERT_TRUE(session.step());
    EXPECT_EQ(session.logits().size(), TinyModelFile::kVocab);
  }
}

TEST_F(SessionTest, RewoundItIsAsIfTheRestHadNotBeen) {
  const std::vector<int32_t> prompt = some_tokens(kPrompt, 1);
  Session session = start({.schedule = "off"});
  answer(session, prompt, greedy(6));
  ASSERT_TRUE(session.rewind(kPrompt));
  EXPECT_EQ(session.tokens(), prompt);
  EXPECT_TRUE(session.logits().empty());
  Session undisturbed = start({.schedule = "off"});
  ASSERT_TRUE(undisturbed.append(prompt));
  ASSERT_TRUE(undisturbed.step());
  EXPECT_EQ(answer(session, {5, 6}, greedy(6)), answer(undisturbed, {5, 6}, greedy(6)));
}

// What fails on a session that has answered once.
struct Failing {
  std::string name;
  ErrorCode code;
  std::function<tl::expected<void, Error>(Session&)> call;
};

template <class T>
tl::expected<void, Error> without_value(const Result<T>& result) {
  return result ? tl::expected<void, Error>() : tl::unexpected(result.error());
}

Failing generating(std::string name, ErrorCode code, std::vector<int32_t> prompt,
                   std::vector<int32_t> forced) {
  return {std::move(name), code, [prompt, forced](Session& session) {
            GenerateOptions options = greedy(8);
            options.forced_tokens = forced;
            return without_value(session.generate(prompt, options, {}));
          }};
}

Failing cancelled_after(size_t n_blocks) {
  return {"cancelled after " + std::to_string(n_blocks), ErrorCode::kCancelled, [n_blocks](Session& session) {
            std::stop_source stop;
            size_t left = n_blocks;
            if (left == 0) stop.request_stop();
            return without_value(session.generate(some_tokens(20, 9), greedy(8),
                                                  {.on_progress =
                                                       [&](const Progress&) {
                                                         if (left > 0 && --left == 0) stop.request_stop();
                                                       },
                                                   .stop = stop.get_token()}));
          }};
}

std::vector<Failing> all_failing() {
  const ErrorCode invalid = ErrorCode::kInvalidArgument;
  const ErrorCode exceeded = ErrorCode::kContextExceeded;
  const ErrorCode damaged = ErrorCode::kInvalidFile;
  const std::vector<int32_t> too_many = some_tokens(kContext + 1, 8);
  std::vector<Failing> all = {
      generating("no such id", invalid, {1, 2, 260}, {}),
      generating("a negative id", invalid, {1, -1}, {}),
      generating("no such id forced", invalid, {1, 2}, {3, 260}),
      generating("too many", exceeded, too_many, {}),
      generating("a poisoned prompt", damaged, {1, 2, kPoison}, {}),
      generating("the first token of an answer", damaged, {1, 2, 3}, {kPoison, 4}),
      generating("the middle of an answer", damaged, some_tokens(20, 7), {5, 6, 7, kPoison, 8}),
      {"append no such id", invalid,
       [](Session& s) {
         return s.append(std::vector<int32_t>{4, 999});
       }},
      {"append too many", exceeded, [too_many](Session& s) { return s.append(too_many); }},
      {"sync no such id", invalid,
       [](Session& s) {
         return without_value(s.sync(std::vector<int32_t>{4, 999}));
       }},
      {"sync too many", exceeded,
       [](Session& s) { return without_value(s.sync(some_tokens(kContext + 1, 8))); }},
      {"sync nothing", invalid, [](Session& s) { return without_value(s.sync({})); }},
      {"rewind forward", invalid, [](Session& s) { return s.rewind(s.tokens().size() + 1); }},
      {"an unknown schedule", invalid, [](Session& s) { return s.set_lazy({.schedule = "99:0.5"}); }},
  };
  for (size_t n : {0, 1, 4, 9}) all.push_back(cancelled_after(n));
  return all;
}

TEST_F(SessionTest, ErrorsLeaveItAsItWas) {
  for (const auto& [name, lazy] : ways_to_be_lazy()) {
    for (const bool has_logits : {false, true}) {
      Session undisturbed = start(lazy);
      Session session = start(lazy);
      for (Session* each : {&undisturbed, &session}) {
        answer(*each, some_tokens(kPrompt, 1), greedy(4));
        if (has_logits) {
          ASSERT_TRUE(each->step());
        }
      }
      for (const Failing& failing : all_failing()) {
        SCOPED_TRACE(name + ": " + failing.name);
        const auto failed = failing.call(session);
        ASSERT_FALSE(failed);
        EXPECT_EQ(failed.error().code, failing.code) << failed.error().message;
        ASSERT_EQ(session.tokens(), undisturbed.tokens());
        ASSERT_EQ(std::vector(session.logits().begin(), session.logits().end()),
                  std::vector(undisturbed.logits().begin(), undisturbed.logits().end()));
      }
      SCOPED_TRACE(name);
      for (uint32_t turn = 0; turn < 2; ++turn) {
        const std::vector<int32_t> next = some_tokens(8, 10 + turn);
        ASSERT_EQ(answer(session, next, greedy(6)), answer(undisturbed, next, greedy(6)));
      }
    }
  }
}

TEST_F(SessionTest, ErrorsOfAFirstPromptLeaveAnEmptySession) {
  for (const auto& [name, lazy] : ways_to_be_lazy()) {
    Session session = start(lazy);
    for (const Failing& failing : all_failing()) {
      SCOPED_TRACE(name + ": " + failing.name);
      ASSERT_FALSE(failing.call(session));
      ASSERT_TRUE(session.tokens().empty());
      ASSERT_TRUE(session.logits().empty());
      if (failing.name != "the middle of an answer") continue;
      Session copy = start(lazy);
      EXPECT_EQ(answer(copy, {1, 2, 3}, greedy(3)), answer(session, {1, 2, 3}, greedy(3)));
      ASSERT_TRUE(session.rewind(0));
    }
    Session fresh = start(lazy);
    ASSERT_EQ(answer(session, some_tokens(kPrompt, 1), greedy(6)),
              answer(fresh, some_tokens(kPrompt, 1), greedy(6)))
        << name;
  }
}

TEST_F(SessionTest, AStepThatFailsIsTakenBack) {
  for (const auto& [name, lazy] : ways_to_be_lazy()) {
    SCOPED_TRACE(name);
    Session session = start(lazy);
    Session undisturbed = start(lazy);
    for (Session* each : {&session, &undisturbed}) answer_in_steps(*each, some_tokens(kPrompt, 1), 3);
    const std::vector<int32_t> before = session.tokens();
    const int32_t poison = kPoison;
    ASSERT_TRUE(session.append({&poison, 1}, Origin::kGenerated));
    const auto failed = session.step();
    ASSERT_FALSE(failed);
    EXPECT_EQ(failed.error().code, ErrorCode::kInvalidFile);
    EXPECT_EQ(session.tokens().size(), before.size() + 1);
    EXPECT_TRUE(session.logits().empty());
    ASSERT_TRUE(session.rewind(before.size()));
    EXPECT_EQ(answer_in_steps(session, some_tokens(6, 3), 4),
              answer_in_steps(undisturbed, some_tokens(6, 3), 4));
  }
}

// The prompt of a step that was cancelled is still new: another schedule counts for it.
TEST_F(SessionTest, ACancelledStepCanBeDoneInAnotherWay) {
  const LazyOptions dense{.schedule = "off"};
  const LazyOptions lazy{.schedule = "1:0.3", .policy = Policy::kRecent};
  std::stop_source stop;
  stop.request_stop();
  Session session = start(dense);
  ASSERT_TRUE(session.append(some_tokens(kPrompt, 1)));
  const auto cancelled = session.step({.stop = stop.get_token()});
  ASSERT_FALSE(cancelled);
  EXPECT_EQ(cancelled.error().code, ErrorCode::kCancelled);
  ASSERT_TRUE(session.set_lazy(lazy));
  Session other = start(lazy);
  EXPECT_EQ(answer_in_steps(session, {}, 4), answer_in_steps(other, some_tokens(kPrompt, 1), 4));
}

TEST_F(SessionTest, VerbsOutOfTurnAreErrors) {
  Session session = start({.schedule = "off"});
  EXPECT_FALSE(session.step());
  EXPECT_FALSE(session.sample(kGreedy));
  EXPECT_FALSE(session.generate({}, greedy(3), {}));
  ASSERT_TRUE(session.append(some_tokens(3, 1)));
  EXPECT_FALSE(session.sample(kGreedy));
  ASSERT_TRUE(session.step());
  EXPECT_FALSE(session.step());
  EXPECT_EQ(session.logits().size(), TinyModelFile::kVocab);
  ASSERT_TRUE(session.sample(kGreedy));
  EXPECT_TRUE(session.logits().empty());
  EXPECT_FALSE(session.sample(kGreedy));
}

TEST_F(SessionTest, AStopInTheMiddleOfAnAnswerKeepsWhatThereIs) {
  for (const auto& [name, lazy] : ways_to_be_lazy()) {
    SCOPED_TRACE(name);
    Session session = start(lazy);
    std::stop_source stop;
    size_t n_left = 3;
    const auto stopped = session.generate(some_tokens(kPrompt, 1), greedy(9),
                                          {.on_token =
                                               [&](int32_t, std::string_view) {
                                                 if (--n_left == 0) stop.request_stop();
                                                 return true;
                                               },
                                           .stop = stop.get_token()});
    ASSERT_TRUE(stopped) << stopped.error().message;
    EXPECT_EQ(stopped->finish_reason, FinishReason::kCancelled);
    Session undisturbed = start(lazy);
    EXPECT_EQ(answer(undisturbed, some_tokens(kPrompt, 1), greedy(3)).tokens, stopped->token_ids);
    EXPECT_EQ(session.tokens(), undisturbed.tokens());
    EXPECT_EQ(answer(session, {4, 5}, greedy(5)), answer(undisturbed, {4, 5}, greedy(5)));
  }
}

TEST_F(SessionTest, AnAnswerEndsWhereTheContextDoes) {
  for (const auto& [name, lazy] : ways_to_be_lazy()) {
    if (lazy.policy && policy_info(*lazy.policy).leaves == Leaves::kPrompt) continue;  // it makes room
    SCOPED_TRACE(name);
    Session session = start(lazy, 20);
    Session small = start(lazy, 20);
    const auto generated = session.generate(some_tokens(17, 1), greedy(50), {});
    ASSERT_TRUE(generated);
    // The last token need not be computed.
    EXPECT_EQ(generated->token_ids.size(), 4U);
    EXPECT_EQ(generated->finish_reason, FinishReason::kLength);
    EXPECT_EQ(answer_in_steps(small, some_tokens(17, 1), 4).tokens, generated->token_ids);
    const auto exceeded = small.step();
    ASSERT_FALSE(exceeded);
    EXPECT_EQ(exceeded.error().code, ErrorCode::kContextExceeded);
    EXPECT_EQ(small.tokens(), session.tokens());
  }
}

}  // namespace
}  // namespace lazyfill
