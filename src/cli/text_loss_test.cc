#include "cli/text_loss.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lazyfill::cli {
namespace {

using testing::ElementsAre;

struct Asked {
  LossJudge::Verdict verdict;
  std::vector<size_t> texts;
};

Asked judge(LossJudge& judge, const std::vector<TextLoss>& losses) {
  Asked asked;
  asked.verdict = *judge.judge([&](size_t text) -> Result<TextLoss> {
    asked.texts.push_back(text);
    return losses[text];
  });
  return asked;
}

TEST(LossJudge, TheMeanOverAllTextsCounts) {
  LossJudge strict({0.1, 0.5}, 3);
  const Asked good = judge(strict, {{0.0, 1}, {0.25, 1}, {0.05, 1}});
  EXPECT_TRUE(good.verdict.within);
  EXPECT_EQ(good.verdict.n_measured, 3U);
  EXPECT_NEAR(good.verdict.mean.kl, 0.1, 1e-12);
  EXPECT_FALSE(judge(strict, {{0.0, 1}, {0.26, 1}, {0.05, 1}}).verdict.within);
}

TEST(LossJudge, StopsWhenTheRestCannotHelpAndAsksTheWorstFirst) {
  LossJudge strict({0.1, 0}, 3);
  EXPECT_THAT(judge(strict, {{0.1, 1}, {0.0, 1}, {0.2, 1}}).texts, ElementsAre(0, 1, 2));
  const Asked bad = judge(strict, {{0.1, 1}, {0.0, 1}, {0.5, 1}});
  EXPECT_FALSE(bad.verdict.within);
  EXPECT_THAT(bad.texts, ElementsAre(2));
}

TEST(LossJudge, AgreementCountsToo) {
  LossJudge strict({1, 0.9}, 2);
  EXPECT_TRUE(judge(strict, {{0, 0.8}, {0, 1}}).verdict.within);
  const Asked bad = judge(strict, {{0, 0.7}, {0, 1}});
  EXPECT_FALSE(bad.verdict.within);
  EXPECT_EQ(bad.verdict.n_measured, 1U);
}

TEST(LossJudge, PassesErrorsOn) {
  LossJudge strict({1, 0}, 1);
  const auto verdict =
      strict.judge([](size_t) -> Result<TextLoss> { return fail(ErrorCode::kCancelled, "x"); });
  ASSERT_FALSE(verdict);
  EXPECT_EQ(verdict.error().code, ErrorCode::kCancelled);
}

}  // namespace
}  // namespace lazyfill::cli
