// Answers with drafts are those without, and so is everything that is left of them.
#include "engine/drafting.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <functional>
#include <map>
#include <optional>

#include "engine/tiny_engine.h"
#include "kernels/test_isa.h"

namespace lazyfill {
namespace {

constexpr Draft kDrafters[] = {Draft::kRecycle, Draft::kLookup, Draft::kAuto};
const SamplingOptions kGreedy{.temperature = 0};

GenerateOptions greedy(size_t n_tokens) {
  return {.max_tokens = n_tokens, .sampling = kGreedy, .stop_at_end_token = false};
}

GenerateOptions with(GenerateOptions options, Draft draft, size_t n_drafts) {
  options.draft = draft;
  options.draft_tokens = n_drafts;
  return options;
}

// What a call gives and leaves.
struct Seen {
  std::vector<int32_t> tokens;
  std::string text;
  FinishReason finish_reason = FinishReason::kLength;
  std::vector<std::vector<float>> logits;  // that each token was chosen from
  std::vector<int32_t> session_tokens;
  std::vector<float> session_logits;
  uint64_t kv_bytes = 0;

  friend bool operator==(const Seen&, const Seen&) = default;
};

// Calls back, and then goes on as it was told.
using OnToken = std::function<bool(size_t n_tokens)>;

Seen see(Session& session, const std::vector<int32_t>& prompt, const GenerateOptions& options,
         DraftReport* drafts = nullptr, const OnToken& on_token = {}, const std::stop_token& stop = {}) {
  Seen seen;
  size_t n_tokens = 0;
  Callbacks callbacks;
  callbacks.on_logits = [&](std::span<const float> logits) {
    seen.logits.emplace_back(logits.begin(), logits.end());
  };
  if (on_token) callbacks.on_token = [&](int32_t, std::string_view) { return on_token(++n_tokens); };
  callbacks.stop = stop;
  auto answer = session.generate(prompt, options, callbacks);
  EXPECT_TRUE(answer) << answer.error().message;
  if (!answer) return seen;
  seen.tokens = answer->token_ids;
  seen.text = answer->text;
  seen.finish_reason = answer->finish_reason;
  seen.session_tokens = session.tokens();
  seen.session_logits.assign(session.logits().begin(), session.logits().end());
  seen.kv_bytes = answer->memory.kv_bytes;
  if (drafts != nullptr) {
    drafts->n_steps += answer->drafts.n_steps;
    drafts->n_proposed += answer->drafts.n_proposed;
    drafts->n_accepted += answer->drafts.n_accepted;
  }
  return seen;
}

class DraftingTest : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    if (!machine_supports(GetParam())) GTEST_SKIP() << "this machine lacks the instruction set";
    executor_.emplace(*load_tiny_engine(1, KvType::kAsComputed, GetParam(), 2048).start_executor({}));
  }
  Session start(size_t context_tokens = 1200, const LazyOptions& lazy = {.schedule = "off"}) const {
    return std::move(*executor_->start_session({.context_tokens = context_tokens, .lazy = lazy}));
  }
  bool is_slow() const { return GetParam() == "reference"; }

  std::optional<Executor> executor_;
};

// Around the borders of tiles and pieces, and beyond those of whole texts. Two turns: the second one stands
// on the columns that drafts have left.
TEST_P(DraftingTest, AnswersAreThoseWithoutDraftsBitForBit) {
  std::vector<size_t> lengths = {1, 64, 100};
  if (!is_slow()) lengths = {1, 63, 64, 65, 256, 640, 700, 1023};
  DraftReport drafts[std::size(kDrafters)];
  for (size_t n_prompt : lengths) {
    const std::vector<int32_t> prompt = some_tokens(n_prompt, static_cast<uint32_t>(n_prompt));
    Session plain = start();
    const Seen first = see(plain, prompt, greedy(40));
    const Seen second = see(plain, some_tokens(9, 1), greedy(12));
    for (size_t i = 0; i < std::size(kDrafters); ++i) {
      for (size_t n_drafts : {0, 1, 9, 80}) {
        SCOPED_TRACE(testing::Message() << n_prompt << " tokens, drafter " << i << ", " << n_drafts);
        Session session = start();
        EXPECT_TRUE(see(session, prompt, with(greedy(40), kDrafters[i], n_drafts), &drafts[i]) == first);
        EXPECT_TRUE(see(session, some_tokens(9, 1), with(greedy(12), kDrafters[i], n_drafts), &drafts[i]) ==
                    second);
      }
    }
  }
  for (const DraftReport& report : drafts) {
    EXPECT_GT(report.n_accepted, 0U);
    EXPECT_LT(report.n_accepted, report.n_proposed);
  }
}

TEST_P(DraftingTest, ForcedTokensAreWhatDraftsAreHeldAgainst) {
  std::vector<int32_t> forced = some_tokens(12, 5);
  for (size_t i = 0; i < 24; ++i) forced.push_back(forced[i]);
  GenerateOptions options = greedy(forced.size());
  options.forced_tokens = forced;
  Session plain = start();
  const Seen expected = see(plain, some_tokens(20, 3), options);
  EXPECT_EQ(expected.tokens, forced);
  for (Draft draft : kDrafters) {
    DraftReport drafts;
    Session session = start();
    EXPECT_TRUE(see(session, some_tokens(20, 3), with(options, draft, 10), &drafts) == expected);
    if (draft != Draft::kRecycle) {
      EXPECT_GE(drafts.n_accepted, 15U);
    }
  }
}

TEST_P(DraftingTest, AnAnswerEndsInTheMiddleOfWhatIsAccepted) {
  Session plain = start();
  const Seen whole = see(plain, some_tokens(40, 1), greedy(30));
  for (Draft draft : {Draft::kRecycle, Draft::kAuto}) {
    for (size_t n : {1, 2, 3, 4, 7, 12, 20, 30}) {
      Session expected = start();
      Session session = start();
      // By its length,
      EXPECT_TRUE(see(session, some_tokens(40, 1), with(greedy(n), draft, 12)) ==
                  see(expected, some_tokens(40, 1), greedy(n)));
      // by whom it is told to, at once or at the next step,
      const OnToken says_no = [n](size_t n_tokens) { return n_tokens < n; };
      Session expected_no = start();
      Session session_no = start();
      EXPECT_TRUE(see(session_no, some_tokens(40, 1), with(greedy(30), draft, 12), nullptr, says_no) ==
                  see(expected_no, some_tokens(40, 1), greedy(30), nullptr, says_no));
      // and by the context.
      Session expected_short = start(40 + n);
      Session session_short = start(40 + n);
      EXPECT_TRUE(see(session_short, some_tokens(40, 1), with(greedy(60), draft, 12)) ==
                  see(expected_short, some_tokens(40, 1), greedy(60)));
    }
    // By a stop text that begins at any byte of the text.
    for (size_t at = 0; at + 2 <= whole.text.size(); at += 7) {
      GenerateOptions options = greedy(30);
      options.stop = {whole.text.substr(at, 2)};
      Session expected = start();
      Session session = start();
      EXPECT_TRUE(see(session, some_tokens(40, 1), with(options, draft, 12)) ==
                  see(expected, some_tokens(40, 1), options));
    }
  }
}

TEST_P(DraftingTest, CancellingLeavesWhatWasTaken) {
  for (size_t n : {1, 2, 3, 4, 9, 17, 20}) {
    Session session = start();
    std::stop_source stop;
    const OnToken stops = [&](size_t n_tokens) {
      if (n_tokens == n) stop.request_stop();
      return true;
    };
    const Seen seen = see(session, some_tokens(40, 1), with(greedy(30), Draft::kAuto, 12), nullptr, stops,
                          stop.get_token());
    EXPECT_GE(seen.tokens.size(), n);  // tokens of the step that was made already are taken
    Session plain = start();
    EXPECT_EQ(see(plain, some_tokens(40, 1), greedy(seen.tokens.size())).tokens, seen.tokens);
    EXPECT_TRUE(see(session, some_tokens(5, 2), greedy(8)) == see(plain, some_tokens(5, 2), greedy(8)));
  }
}

TEST_P(DraftingTest, RewindingGoesThroughWhatWasAccepted) {
  for (size_t n_kept : {41, 44, 50, 59, 69}) {
    Session plain = start();
    Session session = start();
    see(plain, some_tokens(40, 1), greedy(30));
    see(session, some_tokens(40, 1), with(greedy(30), Draft::kAuto, 12));
    ASSERT_TRUE(plain.rewind(n_kept));
    ASSERT_TRUE(session.rewind(n_kept));
    EXPECT_TRUE(see(session, some_tokens(5, 2), with(greedy(9), Draft::kAuto, 12)) ==
                see(plain, some_tokens(5, 2), greedy(9)));
  }
}

// One draw a token from the same logits: the same text, end tokens included.
TEST_P(DraftingTest, ASeedDrawsTheSameText) {
  size_t n_ended = 0;
  DraftReport drafts;
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    const GenerateOptions options{
        .max_tokens = 60, .sampling = {.temperature = 1, .top_k = 6, .top_p = 1, .min_p = 0, .seed = seed}};
    Session plain = start();
    Session session = start();
    const Seen expected = see(plain, some_tokens(30, 1), options);
    n_ended += expected.finish_reason == FinishReason::kStop ? 1 : 0;
    EXPECT_TRUE(see(session, some_tokens(30, 1), with(options, Draft::kAuto, 8), &drafts) == expected);
  }
  EXPECT_GT(drafts.n_accepted, 0U);
  RecordProperty("ended", static_cast<int>(n_ended));
}

// Nothing is known of seeds here: pairs of tokens come as often with drafts as without (chi-square over two
// samples, whose 99.9% point for k - 1 degrees of freedom is below k + 4.5 sqrt(k) + 8).
TEST_P(DraftingTest, SamplesComeAsOftenAsWithout) {
  constexpr size_t kSamples = 1200;
  if (is_slow()) GTEST_SKIP() << "thousands of answers take long there";
  std::map<std::pair<int32_t, int32_t>, std::array<double, 2>> counts;
  DraftReport drafts;
  Session session = start(64);
  for (size_t i = 0; i < 2 * kSamples; ++i) {
    GenerateOptions options{.max_tokens = 3,
                            .sampling = {.temperature = 1, .top_k = 3, .top_p = 1, .min_p = 0, .seed = i + 1},
                            .stop_at_end_token = false};
    const bool drafted = i % 2 == 0;
    if (drafted) options = with(options, Draft::kRecycle, 12);
    ASSERT_TRUE(session.rewind(0));
    const Seen seen = see(session, some_tokens(20, 7), options, &drafts);
    ++counts[{seen.tokens[1], seen.tokens[2]}][drafted ? 0 : 1];
  }
  EXPECT_GT(drafts.n_accepted, kSamples / 4);
  double chi_square = 0;
  for (const auto& [pair, n] : counts) chi_square += (n[0] - n[1]) * (n[0] - n[1]) / (n[0] + n[1]);
  const auto k = static_cast<double>(counts.size());
  EXPECT_GT(k, 5);
  EXPECT_LT(chi_square, k + 4.5 * std::sqrt(k) + 8);
}

INSTANTIATE_TEST_SUITE_P(Isas, DraftingTest, testing::ValuesIn(isa_names()),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace lazyfill
