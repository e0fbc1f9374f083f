#include "cache/sequence_cache.h"

#include <gtest/gtest.h>

#include <numeric>
#include <vector>

namespace lazyfill {
namespace {

constexpr SequenceCache::Shape kShape{
    .n_layers = 2, .n_kv_heads = 1, .head_dim = 2, .d_model = 2, .capacity_tokens = 8};

// A step over n new tokens: all have columns at layer 0; those before `n_up` at layer 1, the others leave.
void compute(SequenceCache& cache, size_t n, size_t n_up) {
  std::vector<TokenIndex> tokens(n);
  std::iota(tokens.begin(), tokens.end(), static_cast<TokenIndex>(cache.n_tokens()));
  std::vector<int32_t> slots;
  const float state[2] = {1, 2};
  cache.columns(0).append(tokens, slots);
  cache.columns(1).append(std::span(tokens).first(n_up), slots);
  for (size_t i = n_up; i < n; ++i) cache.aux(0).put(tokens[i], state);
  std::vector<float> votes(n, 1.0F);
  cache.votes(0).add_to(votes, tokens, 0.5F);
}

void step(SequenceCache& cache, size_t n, size_t n_up) {
  cache.begin_step();
  compute(cache, n, n_up);
  cache.commit_step(n);
}

// What token 1 has of votes, asked without changing them.
float vote_of(SequenceCache& cache, TokenIndex token) {
  std::vector<float> vote = {0};
  cache.votes(0).add_to(vote, {&token, 1}, 1.0F);
  cache.votes(0).rollback();
  return vote[0];
}

TEST(SequenceCache, AStepRollsBackWhole) {
  SequenceCache cache(kShape);
  step(cache, 3, 2);
  cache.begin_step();
  compute(cache, 2, 1);
  cache.rollback_step();
  EXPECT_EQ(cache.n_tokens(), 3U);
  EXPECT_EQ(cache.columns(0).n_columns(), 3U);
  EXPECT_EQ(cache.columns(1).n_columns(), 2U);
  EXPECT_EQ(cache.aux(0).size(), 1U);
  EXPECT_EQ(vote_of(cache, 3), 0);
}

TEST(SequenceCache, ACallOfSeveralStepsIsUndoneWhole) {
  SequenceCache cache(kShape);
  step(cache, 3, 2);
  cache.save_for_revival(7);
  cache.begin_call();
  step(cache, 2, 2);
  cache.save_for_revival(9);
  cache.begin_step();
  const TokenIndex back = 2;  // the token that the first step dropped
  float state[2];
  cache.aux(0).take(back, state);
  std::vector<int32_t> slots;
  cache.columns(1).append({&back, 1}, slots);
  compute(cache, 1, 1);
  cache.commit_step(1);
  EXPECT_EQ(cache.n_tokens(), 6U);
  cache.undo_call();
  EXPECT_EQ(cache.n_tokens(), 3U);
  EXPECT_EQ(cache.columns(0).n_columns(), 3U);
  EXPECT_EQ(cache.columns(1).n_columns(), 2U);
  EXPECT_TRUE(cache.aux(0).has(2));
  EXPECT_EQ(cache.saved_for_revival(), 7);
  EXPECT_EQ(vote_of(cache, 1), 1);
  step(cache, 5, 5);
  EXPECT_EQ(cache.n_tokens(), 8U);
}

TEST(SequenceCache, AFailedStepWithinACallLeavesTheStepsBefore) {
  SequenceCache cache(kShape);
  cache.begin_call();
  step(cache, 3, 3);
  cache.begin_step();
  compute(cache, 2, 1);
  cache.rollback_step();
  EXPECT_EQ(cache.columns(0).n_columns(), 3U);
  cache.end_call();
  EXPECT_EQ(cache.n_tokens(), 3U);
}

TEST(SequenceCache, CommitsSomeOfTheNewTokens) {
  SequenceCache cache(kShape);
  step(cache, 2, 2);
  cache.begin_step();
  compute(cache, 4, 4);
  const size_t kept[] = {0, 3};
  cache.commit_step(4, kept);
  EXPECT_EQ(cache.n_tokens(), 4U);
  for (size_t layer : {0, 1}) EXPECT_EQ(cache.columns(layer).n_columns(), 4U);
  EXPECT_EQ(vote_of(cache, 3), 1);
  EXPECT_EQ(vote_of(cache, 4), 0);
  step(cache, 4, 4);
  EXPECT_EQ(cache.columns(1).n_columns(), 8U);
}

TEST(SequenceCache, AStreamHoldsNoMoreThanItsCapacity) {
  SequenceCache::Shape shape = kShape;
  shape.n_pinned = 2;
  SequenceCache cache(shape);
  step(cache, 8, 6);
  for (size_t n = 8; n < 300; ++n) {
    cache.forget_oldest(1);
    step(cache, 1, n % 2);
    ASSERT_EQ(cache.n_held(), 8U);
    ASSERT_EQ(cache.n_tokens(), n + 1);
    const std::vector<TokenIndex> held = cache.held_tokens(0);
    ASSERT_EQ(held.size(), 8U);
    ASSERT_EQ(held[1], 1);
    ASSERT_EQ(held[2], static_cast<TokenIndex>(n - 5));
    ASSERT_EQ(held.back(), static_cast<TokenIndex>(n));
    for (TokenIndex token : held) ASSERT_TRUE(cache.columns(0).has(token));
    ASSERT_LE(cache.columns(1).n_columns() + cache.aux(0).size(), 8U);
  }
}

}  // namespace
}  // namespace lazyfill
