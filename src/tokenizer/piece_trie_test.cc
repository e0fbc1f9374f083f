#include "tokenizer/piece_trie.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <string>

namespace lazyfill {
namespace {

// Against a map of all pieces: what a walk finds after every byte, and that it ends where no piece goes on.
void expect_walks(const std::vector<std::string>& texts) {
  std::vector<std::pair<std::string_view, int32_t>> pieces;
  std::map<std::string_view, int32_t> ids;
  for (size_t i = 0; i < texts.size(); ++i) {
    pieces.emplace_back(texts[i], static_cast<int32_t>(i));
    if (!texts[i].empty()) ids.emplace(texts[i], static_cast<int32_t>(i));
  }
  const PieceTrie trie(pieces);
  for (std::string text : texts) {
    text += '?';  // in no piece
    uint32_t node = PieceTrie::kRoot;
    for (size_t end = 1; end < text.size(); ++end) {
      ASSERT_EQ(trie.next(node, '?'), PieceTrie::kNowhere);
      node = trie.next(node, static_cast<unsigned char>(text[end - 1]));
      ASSERT_NE(node, PieceTrie::kNowhere) << text << " at " << end;
      const auto found = ids.find(std::string_view(text).substr(0, end));
      EXPECT_EQ(trie.id(node), found == ids.end() ? -1 : found->second) << text << " at " << end;
      EXPECT_EQ(trie.find(std::string_view(text).substr(0, end)), node);
    }
    if (text.size() > 1) EXPECT_EQ(trie.next(node, '?'), PieceTrie::kNowhere);
  }
}

TEST(PieceTrie, FindsPiecesThatShareBeginnings) {
  expect_walks(
      {"a", "ab", "abc", "abcdefgh", "abcdefgi", "abcdefghijklmnop", "", "b", "abc", "xyzxyz", "xy"});
}

TEST(PieceTrie, AgreesWithAMapOnRandomPieces) {
  std::mt19937_64 random(3);
  for (size_t round = 0; round < 200; ++round) {
    std::vector<std::string> texts(random() % 40);
    for (std::string& text : texts) {
      for (size_t n = random() % 12; n > 0; --n) text += static_cast<char>(0xE0 + random() % (1 + round % 3));
    }
    expect_walks(texts);
  }
}

TEST(PieceTrie, AnEmptyOneLeadsNowhere) {
  const PieceTrie trie;
  EXPECT_EQ(trie.next(PieceTrie::kRoot, 'a'), PieceTrie::kNowhere);
  EXPECT_EQ(trie.id(PieceTrie::kRoot), -1);
}

TEST(PieceTrie, LongPiecesThatDifferAtTheirEnd) {
  const std::string same(100000, 'a');
  const std::string left = same + "b";
  const std::string right = same + "cd";
  const PieceTrie trie({{left, 1}, {right, 2}, {same, 3}});
  EXPECT_EQ(trie.id(trie.find(left)), 1);
  EXPECT_EQ(trie.id(trie.find(right)), 2);
  EXPECT_EQ(trie.id(trie.find(same)), 3);
  EXPECT_EQ(trie.find(same + "x"), PieceTrie::kNowhere);
}

}  // namespace
}  // namespace lazyfill
