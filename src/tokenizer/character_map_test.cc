#include "tokenizer/character_map.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lazyfill {
namespace {

using ::testing::HasSubstr;

// A table of units by hand: "A" becomes "a", "AB" becomes "x". A unit holds the label of the way to it,
// whether a rule ends there, and how far its children are.
std::vector<std::byte> table() {
  std::vector<uint32_t> units(256, 0);
  const auto unit = [](uint32_t offset, bool leaf, uint32_t label) {
    return (offset << 10) | (leaf ? 1U << 8 : 0U) | label;
  };
  units[0] = unit(1, false, 0);         // root: children at 1 ^ label
  units[1 ^ 'A'] = unit(4, true, 'A');  // children at (1 ^ 'A') ^ 4 ^ label
  const uint32_t below = (1 ^ 'A') ^ 4;
  units[below] = (1U << 31) | 0;  // the value of "A": the text at 0
  units[below ^ 'B'] = unit(3, true, 'B');
  units[(below ^ 'B') ^ 3] = (1U << 31) | 2;  // the value of "AB": the text at 2
  std::vector<std::byte> bytes;
  const auto push = [&](uint32_t value) {
    for (int shift = 0; shift < 32; shift += 8)
      bytes.push_back(static_cast<std::byte>((value >> shift) & 0xFF));
  };
  push(static_cast<uint32_t>(4 * units.size()));
  for (const uint32_t value : units) push(value);
  for (const char c : std::string_view("a\0x\0", 4)) bytes.push_back(static_cast<std::byte>(c));
  return bytes;
}

TEST(CharacterMap, TheLongestRuleApplies) {
  const auto map = CharacterMap::read(table());
  ASSERT_TRUE(map) << map.error().message;
  EXPECT_EQ(map->longest("Ac").replacement, "a");
  EXPECT_EQ(map->longest("Ac").n_bytes, 1U);
  EXPECT_EQ(map->longest("ABc").replacement, "x");
  EXPECT_EQ(map->longest("ABc").n_bytes, 2U);
  EXPECT_EQ(map->longest("bA").n_bytes, 0U);
  EXPECT_EQ(map->longest("").n_bytes, 0U);
}

TEST(CharacterMap, NoBytesAreNoRules) {
  const auto map = CharacterMap::read({});
  ASSERT_TRUE(map);
  EXPECT_TRUE(map->empty());
  EXPECT_EQ(map->longest("A").n_bytes, 0U);
}

TEST(CharacterMap, TablesThatDoNotFitAreRefused) {
  const std::vector<std::byte> good = table();
  for (const size_t n_bytes : {size_t{1}, size_t{3}, size_t{4}, size_t{5}, size_t{4 + 1024}}) {
    const auto map = CharacterMap::read(std::span(good).first(n_bytes));
    ASSERT_FALSE(map) << n_bytes;
    EXPECT_THAT(map.error().message, HasSubstr("precompiled_charsmap"));
  }
  std::vector<std::byte> odd = good;
  odd[0] = std::byte{3};
  EXPECT_FALSE(CharacterMap::read(odd));
  std::vector<std::byte> long_replacement = good;
  long_replacement.insert(long_replacement.end(), 257, std::byte{'x'});
  EXPECT_THAT(CharacterMap::read(long_replacement).error().message, HasSubstr("257 bytes"));
}

// Any unit may point anywhere; what lies outside is no match.
TEST(CharacterMap, WaysOutOfTheTableEnd) {
  for (size_t i = 4; i < table().size() - 4; ++i) {
    std::vector<std::byte> bytes = table();
    bytes[i] = std::byte{0xFF};
    const auto map = CharacterMap::read(bytes);
    ASSERT_TRUE(map);
    for (const std::string_view text : {"A", "AB", "ABAB", "\xFF\xFF", "B"}) {
      EXPECT_LE(map->longest(text).n_bytes, text.size());
    }
  }
}

}  // namespace
}  // namespace lazyfill
