#include "cache/vote_memory.h"

#include <gtest/gtest.h>

#include <vector>

namespace lazyfill {
namespace {

using Votes = std::vector<float>;

Votes after(VoteMemory& memory, Votes votes, const std::vector<int32_t>& positions, float share) {
  memory.add_to(votes, positions, share);
  return votes;
}

TEST(VoteMemory, AddsWhatIsLeftOfEarlierSteps) {
  VoteMemory memory(TokenRing(8));
  EXPECT_EQ(after(memory, {4, 8}, {0, 1}, 0.5F), (Votes{4, 8}));
  memory.commit();
  EXPECT_EQ(after(memory, {1, 1, 1}, {0, 1, 2}, 0.5F), (Votes{3, 5, 1}));
  memory.commit();
  EXPECT_EQ(after(memory, {0, 0, 0}, {0, 1, 2}, 0.5F), (Votes{1.5F, 2.5F, 0.5F}));
}

TEST(VoteMemory, FadesForTokensThatAreNoCandidates) {
  VoteMemory memory(TokenRing(8));
  after(memory, {4, 8, 16}, {0, 1, 2}, 0.5F);
  memory.commit();
  after(memory, {1}, {2}, 0.5F);
  memory.commit();
  EXPECT_EQ(after(memory, {0, 0, 0}, {0, 1, 2}, 0.5F), (Votes{1, 2, 4.5F}));
}

TEST(VoteMemory, ShareOfZeroBeginsAnew) {
  VoteMemory memory(TokenRing(8));
  after(memory, {4, 8}, {0, 1}, 0.5F);
  memory.commit();
  EXPECT_EQ(after(memory, {1, 1}, {0, 1}, 0), (Votes{1, 1}));
  memory.commit();
  EXPECT_EQ(after(memory, {0, 0}, {0, 1}, 0.5F), (Votes{0.5F, 0.5F}));
}

TEST(VoteMemory, RollbackUndoesAStep) {
  VoteMemory memory(TokenRing(8));
  after(memory, {4, 8}, {0, 1}, 0.5F);
  memory.commit();
  after(memory, {100, 100}, {0, 1}, 0.5F);
  memory.rollback();
  memory.commit();  // a step without votes leaves what there was
  EXPECT_EQ(after(memory, {0, 0}, {0, 1}, 0.5F), (Votes{2, 4}));
}

TEST(VoteMemory, ForgetsTokens) {
  VoteMemory memory(TokenRing(8));
  after(memory, {4, 8, 16}, {0, 1, 2}, 0.5F);
  memory.commit();
  memory.forget(1, 8);
  EXPECT_EQ(after(memory, {0, 0, 0}, {0, 1, 2}, 0.5F), (Votes{2, 0, 0}));
}

TEST(VoteMemory, KeepNewGivesAcceptedDraftsTheirVotes) {
  VoteMemory memory(TokenRing(8));
  after(memory, {4, 8}, {0, 1}, 0.5F);
  memory.commit();
  after(memory, {0, 0, 1, 2, 3}, {0, 1, 2, 3, 4}, 0.5F);
  const size_t kept[] = {0, 2};
  memory.keep_new(2, 3, kept);
  memory.commit();
  EXPECT_EQ(after(memory, {0, 0, 0, 0, 0}, {0, 1, 2, 3, 4}, 0.5F), (Votes{1, 2, 0.5F, 1.5F, 0}));
}

TEST(VoteMemory, AStreamUsesPlacesAgain) {
  VoteMemory memory(TokenRing(4, 1));
  for (int32_t token = 4; token < 100; ++token) {
    memory.forget(token - 3, token - 2);
    EXPECT_EQ(after(memory, {1}, {token}, 0.5F), (Votes{1}));
    memory.commit();
  }
}

}  // namespace
}  // namespace lazyfill
