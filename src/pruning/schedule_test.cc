#include "pruning/schedule.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace lazyfill {
namespace {

using testing::HasSubstr;

constexpr size_t kPrunable[] = {0, 1, 2, 3, 4, 5, 6, 7, 8};  // of 10 layers
constexpr size_t kGlobal[] = {5, 11};                        // of 18, as in a sliding-window model

TEST(ParseSchedule, OffIsDense) {
  const auto stages = parse_schedule("off", 10, kPrunable);
  ASSERT_TRUE(stages);
  EXPECT_TRUE(stages->empty());
}

TEST(ParseSchedule, FractionsCountsAndPercents) {
  const auto stages = parse_schedule("2:0.5,50%:@512,7:p0.9,8:1", 10, kPrunable);
  ASSERT_TRUE(stages) << stages.error().message;
  ASSERT_EQ(stages->size(), 4U);
  EXPECT_EQ((*stages)[0].keep_mass, 0.0);
  EXPECT_EQ((*stages)[2].keep_mass, 0.9);
  EXPECT_EQ((*stages)[0].layer, 2U);
  EXPECT_EQ((*stages)[0].keep, 0.5);
  EXPECT_EQ((*stages)[0].keep_tokens, 0U);
  EXPECT_EQ((*stages)[1].layer, 5U);
  EXPECT_EQ((*stages)[1].keep_tokens, 512U);
  EXPECT_EQ((*stages)[3].keep, 1.0);
}

TEST(ParseSchedule, PercentTakesTheNearestPrunableLayer) {
  const auto stages = parse_schedule("20%:0.5,70%:0.5", 18, kGlobal);
  ASSERT_TRUE(stages) << stages.error().message;
  EXPECT_EQ((*stages)[0].layer, 5U);
  EXPECT_EQ((*stages)[1].layer, 11U);
}

TEST(ParseSchedule, ALayerThatCannotPruneListsThoseThatCan) {
  const auto stages = parse_schedule("6:0.5", 18, kGlobal);
  ASSERT_FALSE(stages);
  EXPECT_EQ(stages.error().code, ErrorCode::kInvalidArgument);
  EXPECT_THAT(stages.error().message, HasSubstr("5, 11"));
}

class BadSchedule : public testing::TestWithParam<const char*> {};

TEST_P(BadSchedule, IsRefusedWithASentence) {
  const auto stages = parse_schedule(GetParam(), 10, kPrunable);
  ASSERT_FALSE(stages) << GetParam();
  EXPECT_FALSE(stages.error().message.empty());
}

INSTANTIATE_TEST_SUITE_P(Table, BadSchedule,
                         testing::Values("", "on", "5", "5:", ":0.5", "5:0", "5:-0.5", "5:1.01", "5:nan",
                                         "5:inf", "5:1e-400", "5:0.5x", "5 :0.5", "9:0.5", "-1:0.5",
                                         "99999999999999999999:0.5", "5:0.5,", ",5:0.5", "5:0.5,5:0.5",
                                         "5:0.5,4:0.5", "100%:0.5", "-3%:0.5", "x%:0.5", "5:@0", "5:@",
                                         "5:@-1", "5:@1.5", "5:0.5;6:0.5", "5:p", "5:p0", "5:p1.1", "5:p-0.5",
                                         "5:pnan", "5:P0.5"));

TEST(ParseSchedule, NoPrunableLayerIsSaid) {
  const auto stages = parse_schedule("0:0.5", 1, {});
  ASSERT_FALSE(stages);
  EXPECT_THAT(stages.error().message, HasSubstr("off"));
}

TEST(ParseSchedule, ErrorsNeverEchoRawBytes) {
  const auto stages = parse_schedule("\x1b[31m:0.5", 10, kPrunable);
  ASSERT_FALSE(stages);
  EXPECT_EQ(stages.error().message.find('\x1b'), std::string::npos);
}

TEST(KeptCount, IsTheCeilingAndSurvivesBinaryFractions) {
  struct Case {
    double keep;
    size_t keep_tokens, n, expected;
  };
  constexpr Case kCases[] = {
      {0.5, 0, 8, 4}, {0.5, 0, 7, 4},      {0.1, 0, 30, 3},     {0.7, 0, 10, 7},    {1.0, 0, 5, 5},
      {0.3, 0, 1, 1}, {1e-9, 0, 10000, 1}, {1, 512, 1000, 512}, {1, 512, 100, 100}, {0.5, 0, 0, 0},
  };
  for (const Case& c : kCases) EXPECT_EQ(kept_count({0, c.keep, c.keep_tokens}, c.n), c.expected) << c.keep;
}

}  // namespace
}  // namespace lazyfill
