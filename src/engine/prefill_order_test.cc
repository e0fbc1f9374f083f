#include "engine/prefill_order.h"

#include <gtest/gtest.h>

namespace lazyfill {
namespace {

using Packs = std::vector<std::vector<size_t>>;

TEST(PrefillOrder, PacksTheShortestFirstUntilTheRoomIsFull) {
  const std::vector<WaitingPrompt> prompts = {{0, 300, 0}, {0, 100, 1}, {0, 500, 2}, {0, 200, 3}};
  EXPECT_EQ(pack_prompts(prompts, 600), (Packs{{1, 3, 0}, {2}}));
  EXPECT_EQ(pack_prompts(prompts, 599), (Packs{{1, 3}, {0}, {2}}));
  EXPECT_EQ(pack_prompts(prompts, 2000), (Packs{{1, 3, 0, 2}}));
}

TEST(PrefillOrder, PacksNothingWithoutRoom) {
  const std::vector<WaitingPrompt> prompts = {{0, 30, 0}, {0, 10, 1}};
  EXPECT_EQ(pack_prompts(prompts, 0), (Packs{{1}, {0}}));
  EXPECT_EQ(pack_prompts({}, 100), Packs{});
}

TEST(PrefillOrder, ALongPromptIsAlone) {
  const std::vector<WaitingPrompt> prompts = {{0, 5000, 0}, {0, 6000, 1}, {0, 10, 2}};
  EXPECT_EQ(pack_prompts(prompts, 1024), (Packs{{2}, {0}, {1}}));
}

TEST(PrefillOrder, PromptsOfTwoPrioritiesAreNotPacked) {
  const std::vector<WaitingPrompt> prompts = {{0, 10, 0}, {5, 90, 1}, {0, 20, 2}, {5, 80, 3}};
  EXPECT_EQ(pack_prompts(prompts, 1024), (Packs{{3, 1}, {0, 2}}));
}

TEST(PrefillOrder, EqualLengthsGoByArrival) {
  const std::vector<WaitingPrompt> prompts = {{0, 10, 7}, {0, 10, 3}, {0, 10, 5}};
  EXPECT_EQ(pack_prompts(prompts, 20), (Packs{{1, 2}, {0}}));
}

TEST(PrefillOrder, TheShortestAndTheOldestByTurns) {
  const std::vector<BegunPrefill> prefills = {{0, 900, 4}, {0, 7000, 1}, {0, 100, 9}};
  EXPECT_EQ(next_prefill(prefills, false), 2U);
  EXPECT_EQ(next_prefill(prefills, true), 1U);
}

TEST(PrefillOrder, OnlyTheHighestPriorityCounts) {
  const std::vector<BegunPrefill> prefills = {{0, 10, 1}, {2, 900, 5}, {2, 800, 6}, {-3, 1, 0}};
  EXPECT_EQ(next_prefill(prefills, false), 2U);
  EXPECT_EQ(next_prefill(prefills, true), 1U);
}

TEST(PrefillOrder, OfEquallyShortOnesTheOldest) {
  const std::vector<BegunPrefill> prefills = {{0, 10, 3}, {0, 10, 2}};
  EXPECT_EQ(next_prefill(prefills, false), 1U);
}

}  // namespace
}  // namespace lazyfill
