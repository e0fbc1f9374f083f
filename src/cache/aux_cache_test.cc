#include "cache/aux_cache.h"

#include <gtest/gtest.h>

#include <array>

namespace lazyfill {
namespace {

using State = std::array<float, 4>;

State state_of(AuxCache& aux, int32_t position) {
  State state{};
  aux.take(position, state.data());
  return state;
}

TEST(AuxCache, GivesBackWhatWasPut) {
  AuxCache aux(4, TokenRing(8));
  const State a = {1, 2, 3, 4};
  const State b = {5, 6, 7, 8};
  aux.put(3, a.data());
  aux.put(6, b.data());
  aux.clear_marks();
  EXPECT_TRUE(aux.has(3));
  EXPECT_FALSE(aux.has(4));
  EXPECT_FALSE(aux.has(1000));
  EXPECT_EQ(aux.size(), 2U);
  EXPECT_EQ(aux.bytes(), 2 * 4 * sizeof(float));
  EXPECT_EQ(state_of(aux, 6), b);
  EXPECT_FALSE(aux.has(6));
  EXPECT_EQ(state_of(aux, 3), a);
}

TEST(AuxCache, RollbackUndoesAStep) {
  AuxCache aux(4, TokenRing(8));
  const State a = {1, 1, 1, 1};
  const State b = {2, 2, 2, 2};
  aux.put(0, a.data());
  aux.clear_marks();

  EXPECT_EQ(state_of(aux, 0), a);
  aux.put(1, b.data());  // must not overwrite what was taken: the step may fail
  aux.undo(0);

  EXPECT_EQ(aux.size(), 1U);
  EXPECT_FALSE(aux.has(1));
  EXPECT_EQ(state_of(aux, 0), a);
}

TEST(AuxCache, ReusesFreedSlotsSoCapacityIsNeverExceeded) {
  AuxCache aux(4, TokenRing(2));
  for (int32_t round = 0; round < 100; ++round) {
    const State state = {static_cast<float>(round), 0, 0, 0};
    aux.put(round % 2, state.data());
    EXPECT_EQ(state_of(aux, round % 2), state);
    aux.clear_marks();
  }
}

TEST(AuxCache, ForgetsTokens) {
  AuxCache aux(4, TokenRing(8));
  const State a = {1, 1, 1, 1};
  for (int32_t position : {1, 4, 7}) aux.put(position, a.data());
  aux.clear_marks();
  aux.forget(4, 8);
  EXPECT_TRUE(aux.has(1));
  EXPECT_FALSE(aux.has(4));
  EXPECT_FALSE(aux.has(7));
  EXPECT_EQ(aux.size(), 1U);
}

TEST(AuxCache, UndoesOneOfSeveralSteps) {
  AuxCache aux(4, TokenRing(8));
  const State a = {1, 1, 1, 1};
  const State b = {2, 2, 2, 2};
  aux.put(0, a.data());
  aux.clear_marks();
  EXPECT_EQ(state_of(aux, 0), a);  // a first step brings token 0 back and drops 1
  aux.put(1, b.data());
  const size_t second = aux.mark();
  EXPECT_EQ(state_of(aux, 1), b);  // a second brings that back
  aux.undo(second);
  EXPECT_FALSE(aux.has(0));
  EXPECT_TRUE(aux.has(1));
  aux.undo(0);
  EXPECT_FALSE(aux.has(1));
  EXPECT_EQ(state_of(aux, 0), a);
}

TEST(AuxCache, KeepNewGivesAcceptedDraftsTheirPlaces) {
  AuxCache aux(4, TokenRing(8));
  const State a = {1, 1, 1, 1};
  const State b = {2, 2, 2, 2};
  aux.put(1, a.data());
  aux.clear_marks();
  for (int32_t token : {3, 4, 5}) aux.put(token, token == 5 ? b.data() : a.data());
  const size_t kept[] = {0, 2};
  aux.keep_new(0, 3, kept);
  aux.clear_marks();
  EXPECT_EQ(aux.size(), 3U);
  EXPECT_TRUE(aux.has(1));
  EXPECT_EQ(state_of(aux, 3), a);
  EXPECT_EQ(state_of(aux, 4), b);
  EXPECT_FALSE(aux.has(5));
}

TEST(AuxCache, AStreamHasRoomForEver) {
  AuxCache aux(4, TokenRing(4, 1));
  for (int32_t token = 0; token < 1000; ++token) {
    if (token >= 4) aux.forget(token - 3, token - 2);
    const State state = {static_cast<float>(token), 0, 0, 0};
    aux.put(token, state.data());
    aux.clear_marks();
    ASSERT_TRUE(aux.has(0));
    ASSERT_FALSE(token >= 4 && aux.has(token - 3));
    ASSERT_LE(aux.size(), 4U);
  }
  EXPECT_EQ(state_of(aux, 998)[0], 998);
}

}  // namespace
}  // namespace lazyfill
