// What is kept, for whom, and what goes first. That the numbers are right is tested in
// engine/prefix_reuse_test.cc, with a model.
#include "cache/prefix_store.h"

#include <gtest/gtest.h>

#include "cache/prefix_case.h"

namespace lazyfill {
namespace {

class PrefixStoreTest : public testing::Test {
 protected:
  // What a request does: takes what there is, computes the rest, and leaves it.
  PrefixStore::Hit ask(const std::vector<int32_t>& tokens, const PrefixPlan& plan, size_t prompt_end,
                       const std::string& salt = "", size_t n_dense = 0) {
    SequenceCache cache(kShape);
    const PrefixStore::Hit hit = look(cache, std::span(tokens).first(prompt_end), plan, salt);
    const bool is_dense = plan.is_dense(kLayers);
    n_dense = is_dense ? tokens.size() : std::max(n_dense, hit.n_dense);
    if (cache.n_tokens() < tokens.size()) compute(cache, tokens.size(), n_dense);
    store_.keep(cache, {tokens, prompt_end, n_dense, plan, salt});
    return hit;
  }
  PrefixStore::Hit look(SequenceCache& cache, std::span<const int32_t> tokens, const PrefixPlan& plan,
                        const std::string& salt = "") {
    return store_.fill(cache, {tokens, plan, salt, 1});
  }
  size_t n_found(const std::vector<int32_t>& tokens, const PrefixPlan& plan, const std::string& salt = "") {
    SequenceCache cache(kShape);
    return look(cache, tokens, plan, salt).n_tokens;
  }

  PrefixStore store_{kLayers};
};

TEST_F(PrefixStoreTest, DenseServesAnybodyAtAnyLength) {
  ask(tokens_of(300), kDense, 290);
  EXPECT_EQ(n_found(tokens_of(300), kDense), 299U);
  EXPECT_EQ(n_found(tokens_of(400), kDense), 300U);
  EXPECT_EQ(n_found(joined(tokens_of(270), {999, 1000}), kLazy), 270U);
  EXPECT_EQ(n_found(tokens_of(300, 1), kDense), 0U);
  SequenceCache cache(kShape);
  look(cache, tokens_of(280), kDense);
  EXPECT_EQ(cache.n_tokens(), 279U);
  for (size_t layer = 0; layer < kLayers; ++layer) {
    EXPECT_EQ(cache.columns(layer).n_columns(), 279U);
    for (size_t token : {0, 100, 256, 278}) EXPECT_EQ(key_of(cache, layer, token), 1000.0F * layer + token);
  }
}

TEST_F(PrefixStoreTest, WhoGoesOnWithAQuestionFindsAllLayers) {
  ask(tokens_of(100), kLazy, 90);
  SequenceCache cache(kShape);
  const auto hit = look(cache, tokens_of(120), kLazy);
  EXPECT_TRUE(hit.is_whole);
  EXPECT_EQ(hit.n_tokens, 100U);
  EXPECT_EQ(cache.columns(0).n_columns(), 100U);
  EXPECT_EQ(cache.columns(3).n_columns(), 50U);
  EXPECT_EQ(key_of(cache, 3, 98), 3098);
  EXPECT_EQ(cache.find_aux(1)->size(), 50U);
  EXPECT_EQ(cache.find_aux(1)->state_of(99)[0], 99);
}

TEST_F(PrefixStoreTest, AnotherQuestionFindsTheLayersThatKnowOfNone) {
  ask(tokens_of(100), kLazy, 90);
  for (const PrefixPlan* plan : {&kLazy, &kOther, &kDense}) {
    SequenceCache cache(kShape);
    const auto hit = look(cache, joined(tokens_of(80), tokens_of(20, 500)), *plan);
    EXPECT_FALSE(hit.is_whole);
    EXPECT_EQ(hit.n_tokens, 80U);
    EXPECT_EQ(hit.n_dense, 0U);
    EXPECT_EQ(cache.columns(1).n_columns(), 80U);
    EXPECT_EQ(cache.columns(2).n_columns(), 0U);
    EXPECT_EQ(cache.find_aux(1)->size(), 80U);  // all come back where they are wanted
    EXPECT_EQ(cache.find_aux(1)->state_of(42)[0], 42);
  }
}

TEST_F(PrefixStoreTest, WhatAQuestionChoseIsNeverDense) {
  ask(tokens_of(100), kLazy, 90);
  SequenceCache cache(kShape);
  const auto hit = look(cache, tokens_of(120), kDense);
  EXPECT_FALSE(hit.is_whole);
  EXPECT_EQ(hit.n_tokens, 100U);
  EXPECT_EQ(cache.columns(2).n_columns(), 0U);
}

TEST_F(PrefixStoreTest, NorDoesItServeAnotherPlan) {
  ask(tokens_of(100), kLazy, 90);
  SequenceCache cache(kShape);
  EXPECT_FALSE(look(cache, tokens_of(120), kOther).is_whole);
}

TEST_F(PrefixStoreTest, OtherChoosingLayersAndSparseAttentionAreApart) {
  ask(tokens_of(100), kLazy, 90);
  EXPECT_EQ(n_found(joined(tokens_of(80), {999}), {"2:0.5", 2}), 0U);
  EXPECT_EQ(n_found(joined(tokens_of(80), {999}), {"1:0.5 sparse", 1, 0.9F}), 0U);
  ask(tokens_of(100, 2000), {"1:0.5 sparse", 1, 0.9F}, 90);
  EXPECT_EQ(n_found(tokens_of(80, 2000), kDense), 0U);
}

TEST_F(PrefixStoreTest, UnderASaltAnyQuestionGoesOnWithAnother) {
  ask(tokens_of(100), kLazy, 90, "mine");
  SequenceCache cache(kShape);
  const auto hit = look(cache, joined(tokens_of(60), tokens_of(20, 500)), kLazy, "mine");
  EXPECT_TRUE(hit.is_whole);
  EXPECT_EQ(hit.n_tokens, 60U);
  EXPECT_EQ(cache.columns(3).n_columns(), 30U);
  for (const char* salt : {"", "yours"}) EXPECT_EQ(n_found(tokens_of(100), kLazy, salt), 0U);
}

TEST_F(PrefixStoreTest, ADensePartAndWhatFollows) {
  ask(tokens_of(100), kLazy, 90, "", 40);
  SequenceCache dense(kShape);
  const auto hit = look(dense, joined(tokens_of(80), {999}), kDense);
  EXPECT_EQ(hit.n_dense, 40U);
  EXPECT_EQ(hit.n_tokens, 80U);
  EXPECT_EQ(dense.columns(3).n_columns(), 40U);
  EXPECT_EQ(dense.find_aux(1)->size(), 40U);
  SequenceCache lazy(kShape);
  EXPECT_TRUE(look(lazy, tokens_of(110), kLazy).is_whole);
  EXPECT_EQ(lazy.columns(3).n_columns(), 40U + 30U);
}

TEST_F(PrefixStoreTest, SaysWhereAPrefixDiverged) {
  ask(tokens_of(100), kDense, 90);
  SequenceCache cache(kShape);
  EXPECT_EQ(look(cache, joined(tokens_of(77), tokens_of(50, 500)), kDense).n_agreeing, 77U);
}

TEST_F(PrefixStoreTest, SharedTokensAreKeptOnce) {
  ask(tokens_of(512), kDense, 500);
  const uint64_t one = store_.bytes();
  ask(joined(tokens_of(512), tokens_of(10, 900)), kDense, 520);
  EXPECT_LT(store_.bytes(), one + one / 20);
  store_.evict_to(0);
  EXPECT_EQ(store_.bytes(), 0U);
  EXPECT_EQ(store_.n_sequences(), 0U);
}

TEST_F(PrefixStoreTest, SupersededOnesGoFirstThenTheLeastRecentlyUsed) {
  ask(tokens_of(100), kLazy, 90);                               // superseded below
  ask(tokens_of(100, 2000), kLazy, 90);                         // used below
  ask(tokens_of(100, 4000), kLazy, 90);                         // not used
  ask(joined(tokens_of(100), tokens_of(30, 500)), kLazy, 120);  // goes on from the first
  EXPECT_EQ(n_found(tokens_of(101, 2000), kLazy), 100U);
  ASSERT_EQ(store_.n_sequences(), 4U);
  store_.evict_to(store_.bytes() - 1);
  EXPECT_EQ(store_.n_sequences(), 3U);
  EXPECT_EQ(n_found(joined(tokens_of(130), {1}), kLazy), 100U + 0U);
  store_.evict_to(store_.bytes() - 1);
  EXPECT_EQ(store_.n_sequences(), 2U);
  EXPECT_EQ(n_found(tokens_of(100, 4000), kLazy), 0U);
  EXPECT_EQ(n_found(tokens_of(100, 2000), kLazy), 99U);
}

TEST_F(PrefixStoreTest, PinnedOnesStay) {
  ask(tokens_of(100), kDense, 90);
  store_.pin(tokens_of(40), "");
  store_.pin(tokens_of(40), "");
  ask(tokens_of(100, 2000), kDense, 90);
  store_.evict_to(store_.bytes() * 2 / 3);
  EXPECT_EQ(store_.n_sequences(), 1U);
  EXPECT_EQ(n_found(tokens_of(100), kDense), 40U);
  store_.unpin(tokens_of(40), "");
  EXPECT_EQ(n_found(tokens_of(100), kDense), 0U);
  EXPECT_EQ(store_.bytes(), 0U);
}

// Each conversation has a system message of its own: the bound counts for those as well.
TEST_F(PrefixStoreTest, PinnedOnesLeaveLast) {
  const std::vector<int32_t> first = tokens_of(100);
  const std::vector<int32_t> second = tokens_of(100, 2000);
  for (const std::vector<int32_t>* tokens : {&first, &second}) {
    ask(*tokens, kDense, 90);
    store_.pin(std::span(*tokens).first(40), "");
  }
  store_.pin(std::span(first).first(40), "");  // used again
  while (store_.n_sequences() > 2) store_.evict_to(store_.bytes() - 1);
  EXPECT_EQ(n_found(first, kDense), 40U);
  EXPECT_EQ(n_found(second, kDense), 40U);
  store_.pin(std::span(first).first(40), "");
  store_.evict_to(store_.bytes() - 1);
  EXPECT_EQ(n_found(first, kDense), 40U);
  EXPECT_EQ(n_found(second, kDense), 0U);
  store_.evict_to(0);
  EXPECT_EQ(store_.bytes(), 0U);
}

TEST_F(PrefixStoreTest, NothingIsLeftOfASaltThatNobodyUses) {
  for (int i = 0; i < 50; ++i) {
    const std::string salt = std::to_string(i);
    ask(tokens_of(100), i % 2 == 0 ? kLazy : kDense, 90, salt);
    EXPECT_EQ(n_found(tokens_of(100), kLazy, "never kept " + salt), 0U);
  }
  EXPECT_EQ(store_.n_salts(), 50U);
  store_.evict_to(0);
  EXPECT_EQ(store_.n_salts(), 0U);
}

TEST_F(PrefixStoreTest, AtLeastTheNewestTokensAreComputedAgain) {
  ask(tokens_of(100), kDense, 90);
  SequenceCache cache(kShape);
  const std::vector<int32_t> tokens = tokens_of(50);
  EXPECT_EQ(store_.fill(cache, {tokens, kDense, "", 8}).n_tokens, 42U);
  SequenceCache none(kShape);
  EXPECT_EQ(store_.fill(none, {std::span(tokens).first(5), kDense, "", 8}).n_tokens, 0U);
}

TEST_F(PrefixStoreTest, LazyTokensTakeNoDensePartsPlace) {
  ask(tokens_of(100), kLazy, 90);
  const auto n_taken = [&](const std::vector<int32_t>& tokens, size_t n_dense) {
    SequenceCache cache(kShape);
    return store_.fill(cache, {tokens, kLazy, "", 1, n_dense}).n_tokens;
  };
  const auto another = joined(tokens_of(80), {999});
  EXPECT_EQ(n_taken(another, 0), 80U);
  EXPECT_EQ(n_taken(another, 40), 0U);
  EXPECT_EQ(n_taken(tokens_of(120), 0), 100U);
  EXPECT_EQ(n_taken(tokens_of(120), 40), 0U);
  ask(tokens_of(50), kDense, 45);
  EXPECT_EQ(n_taken(another, 40), 80U);
  EXPECT_EQ(n_taken(another, 60), 50U);
}

}  // namespace
}  // namespace lazyfill
