#include <gtest/gtest.h>

#include "decoding/drafter.h"

namespace lazyfill {
namespace {

using Tokens = std::vector<int32_t>;

// The first n guesses behind a text, which have no branches.
Tokens guesses(Drafter& lookup, const Tokens& text, size_t n) {
  const DraftTree tree = lookup.propose(text);
  Tokens first;
  for (size_t i = 1; i < tree.tokens.size() && i <= n; ++i) {
    EXPECT_EQ(tree.parents[i], static_cast<int32_t>(i - 1));
    first.push_back(tree.tokens[i]);
  }
  return first;
}

TEST(Lookup, SaysWhatFollowedTheLongestMatch) {
  const auto lookup = make_lookup();
  // "2 3" stood before 4, which is two tokens; "3" alone, more lately, before 5.
  EXPECT_EQ(guesses(*lookup, {1, 2, 3, 4, 9, 3, 5, 6, 2, 3}, 3), (Tokens{4, 9, 3}));
}

TEST(Lookup, OfEqualMatchesTheLatest) {
  const auto lookup = make_lookup();
  EXPECT_EQ(guesses(*lookup, {1, 2, 7, 1, 2, 8, 1, 2}, 2), (Tokens{8, 1}));
}

TEST(Lookup, WhatRepeatsItselfGoesOnDoingSo) {
  const auto lookup = make_lookup();
  EXPECT_EQ(guesses(*lookup, {5, 1, 2, 1, 2}, 5), (Tokens{1, 2, 1, 2, 1}));
  EXPECT_EQ(guesses(*lookup, {4, 4}, 3), (Tokens{4, 4, 4}));
}

TEST(Lookup, SaysNothingOfWhatIsNew) {
  const auto lookup = make_lookup();
  EXPECT_EQ(guesses(*lookup, {1, 2, 3}, 9), Tokens{});
  EXPECT_EQ(guesses(*lookup, {1}, 9), Tokens{});
}

TEST(Lookup, LongerMatchesAreSurer) {
  const auto lookup = make_lookup();
  const DraftTree tree = lookup->propose(Tokens{1, 2, 3, 4, 5, 6, 7, 1, 2, 3});
  const DraftTree shorter = lookup->propose(Tokens{9, 2, 3, 4, 5, 6, 7, 1, 2, 3});
  EXPECT_GT(tree.chances[1], shorter.chances[1]);
}

TEST(Lookup, LearnsFromWhatTheModelChose) {
  const auto lookup = make_lookup();
  const Tokens text = {1, 2, 3, 4, 1, 2, 3};
  const float before = lookup->propose(text).chances[1];
  for (size_t i = 0; i < 20; ++i) lookup->chose(Tokens{1, 2, 3, 4, 1, 2, 3, 4});
  const float after = lookup->propose(text).chances[1];
  EXPECT_GT(after, before);
  for (size_t i = 0; i < 40; ++i) lookup->chose(Tokens{1, 2, 3, 4, 1, 2, 3, 9});
  EXPECT_LT(lookup->propose(text).chances[1], before);
  lookup->chose(Tokens{1});  // nothing was before
}

}  // namespace
}  // namespace lazyfill
