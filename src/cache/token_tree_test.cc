#include "cache/token_tree.h"

#include <gtest/gtest.h>

#include <numeric>

namespace lazyfill {
namespace {

std::vector<int32_t> range(int32_t begin, int32_t end) {
  std::vector<int32_t> tokens(static_cast<size_t>(end - begin));
  std::iota(tokens.begin(), tokens.end(), begin);
  return tokens;
}

std::vector<int32_t> joined(std::vector<int32_t> a, const std::vector<int32_t>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

std::shared_ptr<const CachePart> part_of(size_t n_floats) {
  auto part = std::make_shared<CachePart>();
  part->entered = Buffer<float>(n_floats);
  return part;
}

std::vector<size_t> lengths(const std::vector<TokenTree::Node*>& path) {
  std::vector<size_t> lengths;
  for (const TokenTree::Node* node : path) lengths.push_back(node->tokens.size());
  return lengths;
}

TEST(TokenTree, FindsHowFarTokensAgree) {
  PartCounter counter;
  TokenTree tree(counter);
  EXPECT_EQ(tree.find(range(0, 10)).n_tokens, 0U);
  tree.use(range(0, 100), 0);
  EXPECT_EQ(tree.find(range(0, 100)).n_tokens, 100U);
  EXPECT_EQ(tree.find(range(0, 40)).n_tokens, 40U);
  EXPECT_EQ(tree.find(joined(range(0, 40), {7})).n_tokens, 40U);
  EXPECT_EQ(tree.find(range(0, 120)).n_tokens, 100U);
  EXPECT_EQ(tree.find(range(1, 120)).n_tokens, 0U);
  EXPECT_EQ(tree.find({}).n_tokens, 0U);
}

TEST(TokenTree, WhatBranchesIsSplit) {
  PartCounter counter;
  TokenTree tree(counter);
  const auto first = joined(range(0, 50), range(100, 130));
  const auto second = joined(range(0, 50), range(200, 210));
  EXPECT_EQ(lengths(tree.use(first, 0)), (std::vector<size_t>{80}));
  EXPECT_EQ(lengths(tree.use(second, 0)), (std::vector<size_t>{50, 10}));
  const auto match = tree.find(first);
  EXPECT_EQ(lengths(match.path), (std::vector<size_t>{50, 30}));
  EXPECT_EQ(match.path[0]->n_users, 2U);
  EXPECT_EQ(match.path[1]->n_users, 1U);
  EXPECT_EQ(match.path[1]->begin, 50);
  EXPECT_EQ(tree.find(second).n_tokens, 60U);
}

TEST(TokenTree, NodesEndAtTheCut) {
  PartCounter counter;
  TokenTree tree(counter);
  EXPECT_EQ(lengths(tree.use(range(0, 80), 30)), (std::vector<size_t>{30, 50}));
  EXPECT_EQ(lengths(tree.use(range(0, 80), 40)), (std::vector<size_t>{30, 10, 40}));
}

TEST(TokenTree, LongOnesAreCutIntoPieces) {
  PartCounter counter;
  TokenTree tree(counter);
  EXPECT_EQ(lengths(tree.use(range(0, 600), 0)), (std::vector<size_t>{256, 256, 88}));
}

TEST(TokenTree, WhatNobodyUsesGoes) {
  PartCounter counter;
  TokenTree tree(counter);
  const auto first = joined(range(0, 50), range(100, 130));
  const auto second = joined(range(0, 50), range(200, 210));
  tree.set_part(*tree.use(first, 0)[0], part_of(10));
  const auto path = tree.use(second, 0);
  tree.set_part(*path[1], part_of(20));
  EXPECT_EQ(path[0]->part, tree.find(first).path[1]->part);  // both halves hold it
  const uint64_t both = part_of(10)->bytes() + part_of(20)->bytes();
  EXPECT_EQ(counter.bytes(), both);
  tree.release(second);
  EXPECT_EQ(counter.bytes(), part_of(10)->bytes());
  EXPECT_EQ(tree.find(second).n_tokens, 50U);
  tree.use(first, 0);
  tree.release(first);
  EXPECT_EQ(counter.bytes(), part_of(10)->bytes());
  tree.release(first);
  EXPECT_EQ(counter.bytes(), 0U);
  EXPECT_TRUE(tree.empty());
}

TEST(TokenTree, NoTokens) {
  PartCounter counter;
  TokenTree tree(counter);
  EXPECT_TRUE(tree.use({}, 0).empty());
  tree.release({});
  EXPECT_TRUE(tree.empty());
}

}  // namespace
}  // namespace lazyfill
