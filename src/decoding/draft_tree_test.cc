#include "decoding/draft_tree.h"

#include <gtest/gtest.h>

namespace lazyfill {
namespace {

// 0 -> 1 (.5) -> 3 (.4), 0 -> 2 (.3) -> 4 (.27) -> 5 (.027)
DraftTree some_tree() {
  DraftTree tree(100);
  tree.add(11, 0, 0.5F);
  tree.add(12, 0, 0.3F);
  tree.add(13, 1, 0.8F);
  tree.add(14, 2, 0.9F);
  tree.add(15, 4, 0.1F);
  return tree;
}

TEST(DraftTree, ChancesAreThoseOfTheWholeWay) {
  const DraftTree tree = some_tree();
  EXPECT_FLOAT_EQ(tree.chances[3], 0.4F);
  EXPECT_FLOAT_EQ(tree.chances[5], 0.027F);
  EXPECT_EQ(tree.n_drafts(), 5U);
}

TEST(DraftTree, AChildIsFoundByItsToken) {
  const DraftTree tree = some_tree();
  EXPECT_EQ(tree.child(0, 12), 2U);
  EXPECT_EQ(tree.child(2, 14), 4U);
  EXPECT_EQ(tree.child(0, 13), 0U);  // that one follows another
  EXPECT_EQ(tree.child(5, 11), 0U);
}

TEST(DraftTree, TheLikeliestStayWithTheirAncestors) {
  const DraftTree chosen = likeliest(some_tree(), {3, 9});
  EXPECT_EQ(chosen.tokens, (std::vector<int32_t>{100, 11, 12, 13}));
  EXPECT_EQ(chosen.parents, (std::vector<int32_t>{-1, 0, 0, 1}));
  EXPECT_EQ(likeliest(some_tree(), {0, 9}).tokens, std::vector<int32_t>{100});
  EXPECT_EQ(likeliest(some_tree(), {9, 0}).tokens, std::vector<int32_t>{100});
  // Of equal chances the earlier one, so that no child comes without its parent.
  DraftTree certain(1);
  for (size_t i = 0; i < 4; ++i) certain.add(static_cast<int32_t>(i + 2), i, 1);
  EXPECT_EQ(likeliest(certain, {2, 9}).tokens, (std::vector<int32_t>{1, 2, 3}));
}

TEST(DraftTree, NothingIsDeeperThanIsWanted) {
  const DraftTree chosen = likeliest(some_tree(), {9, 2});
  EXPECT_EQ(chosen.tokens, (std::vector<int32_t>{100, 11, 12, 13, 14}));
  EXPECT_EQ(likeliest(some_tree(), {9, 1}).tokens, (std::vector<int32_t>{100, 11, 12}));
}

TEST(DraftTree, AsManyAsPay) {
  const auto free = [](size_t) { return 1.0; };
  EXPECT_EQ(best_promise(some_tree(), {9, 9}, free).n_drafts, 5U);
  EXPECT_FLOAT_EQ(static_cast<float>(best_promise(some_tree(), {9, 9}, free).gain), 2.497F);
  const auto dear = [](size_t n) { return 1 + 0.6 * static_cast<double>(n); };
  EXPECT_EQ(best_promise(some_tree(), {9, 9}, dear).n_drafts, 0U);
  EXPECT_DOUBLE_EQ(best_promise(some_tree(), {9, 9}, dear).gain, 1);
  // The first alone gives 1.5 / 1.2, both of its way 1.9 / 1.4; with the third it is 2.2 / 1.6.
  const auto usual = [](size_t n) { return 1 + 0.2 * static_cast<double>(n); };
  EXPECT_EQ(best_promise(some_tree(), {9, 9}, usual).n_drafts, 3U);
  EXPECT_EQ(best_promise(some_tree(), {2, 9}, usual).n_drafts, 2U);
}

}  // namespace
}  // namespace lazyfill
