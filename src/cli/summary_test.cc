#include "cli/summary.h"

#include <gtest/gtest.h>

namespace lazyfill::cli {
namespace {

const LazyReport kReport = {
    .schedule = {{.layer = 1, .keep = 0.5}, {.layer = 2, .keep = 1, .keep_tokens = 1}},
    .kept = {{0, 3}, {3}}};

TEST(Summary, ScheduleReadsAsItIsGiven) {
  EXPECT_EQ(schedule_text(kReport.schedule), "1:0.5,2:@1");
  EXPECT_EQ(schedule_text({{.layer = 3, .keep_mass = 0.95}}), "3:p0.95");
  EXPECT_EQ(schedule_text({}), "off");
}

TEST(Summary, SparseAttentionIsTold) {
  LazyReport report = kReport;
  EXPECT_EQ(lazy_text(report), "1:0.5,2:@1");
  report.choice.attention_mass = 0.95F;
  EXPECT_EQ(lazy_text(report), "1:0.5,2:@1 sparse 0.95");
  report.schedule.clear();
  EXPECT_EQ(lazy_text(report), "off sparse 0.95");
}

TEST(Summary, StagesEachTokenPassed) {
  EXPECT_EQ(stages_survived(kReport, 4), (std::vector<size_t>{1, 0, 0, 2}));
  EXPECT_EQ(layers_computed(kReport.schedule, 0, 6), 2U);
  EXPECT_EQ(layers_computed(kReport.schedule, 1, 6), 3U);
  EXPECT_EQ(layers_computed(kReport.schedule, 2, 6), 6U);
}

TEST(Summary, PositionsOutsideThePromptAreIgnored) {
  EXPECT_EQ(stages_survived({.schedule = {{.layer = 1}}, .kept = {{-1, 1, 9}}}, 2),
            (std::vector<size_t>{0, 1}));
}

TEST(Summary, ShareOfAllRows) {
  EXPECT_DOUBLE_EQ(computed_share(kReport, 4, 6), (3.0 + 2 + 2 + 6) / 24);
  EXPECT_DOUBLE_EQ(computed_share({}, 4, 6), 1);
}

TEST(Summary, AScoreLeavesTheFirstTokenOut) {
  EXPECT_EQ(score_sentence({0, -1, -3}),
            "3 tokens, log-probability -4.000 (-2.0000 a token), perplexity 7.38906");
  EXPECT_EQ(score_sentence({0}), "1 token, too few for a score: the first has nothing before it");
}

TEST(Summary, AnAnswerThatIsCutSaysWhy) {
  Generation generation;
  generation.prompt_token_ids.assign(6, 1);
  generation.token_ids.assign(4, 1);
  generation.finish_reason = FinishReason::kStop;
  EXPECT_EQ(cut_sentence(generation, 10), "");
  generation.finish_reason = FinishReason::kCancelled;
  EXPECT_EQ(cut_sentence(generation, 10), "");
  generation.finish_reason = FinishReason::kLength;
  EXPECT_EQ(cut_sentence(generation, 11), "the answer is cut at 4 tokens: -n allows more");
  EXPECT_EQ(cut_sentence(generation, 10), "the answer is cut at 4 tokens: the context of 10 tokens is full");
  generation.token_ids.clear();  // only scored
  EXPECT_EQ(cut_sentence(generation, 6), "");
}

TEST(Summary, TheModelsLineSaysWhenActivationsHaveEightBits) {
  ModelInfo info;
  info.isa = "avx2";
  EXPECT_NE(model_summary(info).find("avx2)"), std::string::npos);
  info.activation_bits = ActivationBits::k8;
  EXPECT_NE(model_summary(info).find("avx2, 8-bit activations)"), std::string::npos);
}

}  // namespace
}  // namespace lazyfill::cli
