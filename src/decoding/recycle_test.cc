#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <numeric>

#include "decoding/drafter.h"

namespace lazyfill {
namespace {

constexpr size_t kTokens = 1000;

std::vector<int32_t> known(const RecycleTable& table, int32_t token) {
  const RecycleTable::Row row = table.behind(token);
  return {row.tokens.begin(), row.tokens.begin() + static_cast<std::ptrdiff_t>(row.n)};
}

TEST(RecycleTable, KnowsWhatWasSeenLast) {
  RecycleTable table(kTokens);
  EXPECT_EQ(known(table, 5), std::vector<int32_t>{});
  table.set(5, std::vector<int32_t>{0, 7, 9});
  EXPECT_EQ(known(table, 5), (std::vector<int32_t>{0, 7, 9}));
  table.set(5, std::vector<int32_t>{3});
  EXPECT_EQ(known(table, 5), std::vector<int32_t>{3});
  EXPECT_EQ(known(table, 999), std::vector<int32_t>{});
}

TEST(RecycleTable, WhatATextHasComesFirst) {
  RecycleTable table(kTokens);
  for (int32_t next = 0; next < 10; ++next) table.put_first(1, next);
  EXPECT_EQ(known(table, 1), (std::vector<int32_t>{9, 8, 7, 6, 5, 4, 3, 2}));
  table.put_first(1, 6);
  EXPECT_EQ(known(table, 1), (std::vector<int32_t>{6, 9, 8, 7, 5, 4, 3, 2}));
  table.put_first(1, 6);
  EXPECT_EQ(known(table, 1), (std::vector<int32_t>{6, 9, 8, 7, 5, 4, 3, 2}));
}

TEST(RecycleTable, LearnsWhichTokensArePredictable) {
  RecycleTable table(kTokens);
  table.set(1, std::vector<int32_t>{10, 11});
  table.set(2, std::vector<int32_t>{10, 11});
  const float before = table.chance(1, 0);
  for (size_t i = 0; i < 50; ++i) {
    table.chose(1, 10);
    table.chose(2, 500);
  }
  EXPECT_GT(table.chance(1, 0), 0.8F);
  EXPECT_LT(table.chance(2, 0), before);
  EXPECT_LT(table.chance(2, 1), 0.05F);
}

// Sizes of the levels in the paper: 8, 21, 25, 15, 8, 3.
TEST(Recycler, AFullTableGivesTheTreeOfThePaper) {
  const auto memory = std::make_shared<DraftMemory>(kTokens);
  const auto likeliest_behind = [](int32_t token) {
    std::vector<int32_t> next(RecycleTable::kLikely);
    std::iota(next.begin(), next.end(), token * 8 % 900);
    return next;
  };
  const auto recycler = make_recycler(memory);
  for (int32_t token = 0; token < static_cast<int32_t>(kTokens); ++token)
    recycler->saw(token, likeliest_behind(token));
  const std::vector<int32_t> text = {4, 42};
  const DraftTree tree = recycler->propose(text);
  EXPECT_EQ(tree.n_drafts(), 80U);
  std::map<size_t, size_t> level_sizes;
  std::map<int32_t, size_t> n_children;
  for (size_t node = 0; node < tree.tokens.size(); ++node) {
    ++level_sizes[tree.depth(node)];
    if (node == 0) continue;
    const auto parent = static_cast<size_t>(tree.parents[node]);
    ASSERT_LT(parent, node);
    // A node's children are the likeliest behind it, in their order.
    EXPECT_EQ(tree.tokens[node], likeliest_behind(tree.tokens[parent])[n_children[tree.parents[node]]++]);
    EXPECT_LE(tree.chances[node], tree.chances[parent]);
  }
  EXPECT_EQ(level_sizes,
            (std::map<size_t, size_t>{{0, 1}, {1, 8}, {2, 21}, {3, 25}, {4, 15}, {5, 8}, {6, 3}}));
}

TEST(Recycler, APromptsPairsAreItsFirstGuesses) {
  const auto recycler = make_recycler(std::make_shared<DraftMemory>(kTokens));
  const std::vector<int32_t> prompt = {1, 2, 3, 1, 4};
  recycler->read(prompt);
  const DraftTree tree = recycler->propose(std::vector<int32_t>{9, 1});
  ASSERT_GE(tree.n_drafts(), 2U);
  EXPECT_EQ(tree.tokens[1], 4);
  EXPECT_EQ(tree.tokens[2], 2);
  EXPECT_EQ(tree.tokens[tree.child(2, 3)], 3);
  EXPECT_EQ(recycler->propose(std::vector<int32_t>{9, 77}).n_drafts(), 0U);
}

TEST(Recycler, WhatOneLearnsServesTheOthers) {
  const auto memory = std::make_shared<DraftMemory>(kTokens);
  make_recycler(memory)->saw(3, std::vector<int32_t>{8});
  EXPECT_EQ(make_recycler(memory)->propose(std::vector<int32_t>{3}).tokens, (std::vector<int32_t>{3, 8}));
}

}  // namespace
}  // namespace lazyfill
