#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tokenizer/vocabulary_tokenizer.h"

namespace lazyfill {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// A vocabulary whose best cuts can be added up by hand.
struct Fixture {
  std::vector<std::string> tokens{"<pad>", "</s>",    "<unk>", "\u2581", "a",  "b",
                                  "ab",    "\u2581a", "bb",    "[x]",    "aab"};
  std::vector<int64_t> types{3, 3, 2, 1, 1, 1, 1, 1, 1, 4, 5};
  std::vector<float> scores{0, 0, 0, -2, -3, -3, -5, -4, -5.5F, 0, -0.1F};

  TokenizerData data() const {
    TokenizerData data;
    data.model = "t5";
    data.tokens = tokens;
    data.types = types;
    data.scores = scores;
    return data;
  }
};

std::vector<int32_t> encode(const TokenizerData& data, std::string_view text, bool add_special = false) {
  const auto tokenizer = make_tokenizer(data);
  if (!tokenizer) {
    ADD_FAILURE() << tokenizer.error().message;
    return {};
  }
  const auto ids = (*tokenizer)->encode(text, {.add_special = add_special});
  EXPECT_TRUE(ids) << ids.error().message;
  return ids ? *ids : std::vector<int32_t>();
}

TEST(UnigramTokenizer, TheGreatestSumWins) {
  const Fixture fixture;
  EXPECT_THAT(encode(fixture.data(), "a"), ElementsAre(7)) << "-4 against -2 - 3";
  EXPECT_THAT(encode(fixture.data(), "ab"), ElementsAre(3, 6))
      << "-2 - 5 equals -4 - 3: the way found first stays";
  EXPECT_THAT(encode(fixture.data(), "bb"), ElementsAre(3, 8)) << "-5.5 against -3 - 3";
  EXPECT_THAT(encode(fixture.data(), "aab"), ElementsAre(7, 6)) << "unused pieces are not used";
}

TEST(UnigramTokenizer, UserDefinedTokensCutTheText) {
  Fixture fixture;
  EXPECT_THAT(encode(fixture.data(), "b[x]a"), ElementsAre(3, 5, 9, 7)) << "each part has its own space";
  EXPECT_THAT(encode(fixture.data(), "[x][x]a"), ElementsAre(9, 9, 7)) << "none before a token";
  fixture.types[6] = fixture.types[8] = fixture.types[10] = 4;  // ab, bb, and
  fixture.tokens[10] = "abbb";
  EXPECT_THAT(encode(fixture.data(), "abbb"), ElementsAre(10)) << "the longest";
  EXPECT_THAT(encode(fixture.data(), "abba"), ElementsAre(6, 3, 5, 4)) << "the first, then what is left";
  TokenizerData data = fixture.data();
  data.remove_extra_whitespaces = true;
  EXPECT_THAT(encode(data, " [x]  a [x] "), ElementsAre(9, 7, 9)) << "spaces fall away in each part";
}

TEST(UnigramTokenizer, ARunOfUnknownCharactersIsOneToken) {
  const Fixture fixture;
  EXPECT_THAT(encode(fixture.data(), "a\u00E9\u4E2Da"), ElementsAre(7, 2, 4));
}

TEST(UnigramTokenizer, UnknownCharactersAreSpelledInBytes) {
  Fixture fixture;
  fixture.tokens[9] = "<0xC3>";
  fixture.tokens[10] = "<0xA9>";
  fixture.types[9] = fixture.types[10] = 6;
  EXPECT_THAT(encode(fixture.data(), "a\u00E9"), ElementsAre(7, 9, 10));
  EXPECT_THAT(encode(fixture.data(), "a\u00E8"), ElementsAre(7, 2)) << "not all of its bytes have tokens";
  const auto tokenizer = make_tokenizer(fixture.data()).value();
  StreamingDecoder decoder(*tokenizer);
  EXPECT_EQ(decoder.push(9), "") << "half a character";
  EXPECT_EQ(decoder.push(10), "\u00E9");
  EXPECT_EQ(tokenizer->decode({7, 9, 10}, false), "a\u00E9");
}

// Pieces that hold a space keep the words on both sides together.
TEST(UnigramTokenizer, PiecesMayReachOverSpaces) {
  Fixture fixture;
  fixture.tokens[10] = "b\u2581a";
  fixture.types[10] = 1;
  EXPECT_THAT(encode(fixture.data(), "b a"), ElementsAre(3, 10)) << "-2 - 0.1 against -2 - 3 - 4";
  EXPECT_THAT(encode(fixture.data(), "a a"), ElementsAre(7, 7));
}

TEST(UnigramTokenizer, Spaces) {
  const Fixture fixture;
  TokenizerData data = fixture.data();
  EXPECT_THAT(encode(data, ""), IsEmpty());
  EXPECT_THAT(encode(data, " a  b "), ElementsAre(3, 7, 3, 3, 5, 3));
  data.remove_extra_whitespaces = true;
  EXPECT_THAT(encode(data, " a  b "), ElementsAre(7, 3, 5));
  EXPECT_THAT(encode(data, "   "), IsEmpty());
  data.add_space_prefix = false;
  EXPECT_THAT(encode(data, " a  b "), ElementsAre(4, 3, 5));
}

TEST(UnigramTokenizer, EosIsTheDefault) {
  const Fixture fixture;
  TokenizerData data = fixture.data();
  EXPECT_THAT(encode(data, "a", true), ElementsAre(7, 1)) << "by its name, where the file does not say";
  data.add_eos = false;
  EXPECT_THAT(encode(data, "a", true), ElementsAre(7));
}

TEST(UnigramTokenizer, BadFilesAreRefused) {
  const Fixture good;
  TokenizerData data = good.data();
  data.scores.pop_back();
  EXPECT_THAT(make_tokenizer(data).error().message, HasSubstr("scores has 10 entries"));
  data = good.data();
  data.character_map = {1, 2, 3};
  EXPECT_THAT(make_tokenizer(data).error().message, HasSubstr("precompiled_charsmap"));
  data.character_map = {4, 0, 0, 0, 300};
  EXPECT_THAT(make_tokenizer(data).error().message, HasSubstr("300"));
}

TEST(UnigramTokenizer, InvalidTextIsRefusedWithItsOffset) {
  const Fixture fixture;
  const auto ids = make_tokenizer(fixture.data()).value()->encode("a\xC3", {});
  ASSERT_FALSE(ids);
  EXPECT_THAT(ids.error().message, HasSubstr("byte 1"));
}

// A walk that starts anew at every character and never ends early takes hours for this.
TEST(UnigramTokenizer, AMegabyteOfOneLetter) {
  const Fixture fixture;
  EXPECT_EQ(encode(fixture.data(), std::string(1 << 20, 'b')).size(), 1U + (1 << 19));
}

}  // namespace
}  // namespace lazyfill
