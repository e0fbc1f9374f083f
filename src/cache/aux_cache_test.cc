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
  AuxCache aux(4, 8);
  const State a = {1, 2, 3, 4};
  const State b = {5, 6, 7, 8};
  aux.put(3, a.data());
  aux.put(6, b.data());
  aux.commit();
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
  AuxCache aux(4, 8);
  const State a = {1, 1, 1, 1};
  const State b = {2, 2, 2, 2};
  aux.put(0, a.data());
  aux.commit();

  EXPECT_EQ(state_of(aux, 0), a);
  aux.put(1, b.data());  // must not overwrite what was taken: the step may fail
  aux.rollback();

  EXPECT_EQ(aux.size(), 1U);
  EXPECT_FALSE(aux.has(1));
  EXPECT_EQ(state_of(aux, 0), a);
}

TEST(AuxCache, ReusesFreedSlotsSoCapacityIsNeverExceeded) {
  AuxCache aux(4, 2);
  for (int32_t round = 0; round < 100; ++round) {
    const State state = {static_cast<float>(round), 0, 0, 0};
    aux.put(round % 2, state.data());
    EXPECT_EQ(state_of(aux, round % 2), state);
    aux.commit();
  }
}

TEST(AuxCache, TruncateForgetsLaterPositions) {
  AuxCache aux(4, 8);
  const State a = {1, 1, 1, 1};
  for (int32_t position : {1, 4, 7}) aux.put(position, a.data());
  aux.commit();
  aux.truncate(4);
  EXPECT_TRUE(aux.has(1));
  EXPECT_FALSE(aux.has(4));
  EXPECT_FALSE(aux.has(7));
  EXPECT_EQ(aux.size(), 1U);
}

}  // namespace
}  // namespace lazyfill
