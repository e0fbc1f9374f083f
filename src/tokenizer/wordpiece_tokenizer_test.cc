#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tokenizer/vocabulary_tokenizer.h"

namespace lazyfill {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

struct Fixture {
  std::vector<std::string> tokens{"[PAD]",         "[UNK]",    "[CLS]",      "[SEP]",   "\u2581un",
                                  "aff",           "able",     "\u2581affe", "\u2581!", "\u2581\u4E2D",
                                  "\u2581\u00E9t", "\u2581et", "a"};
  std::vector<int64_t> types{3, 2, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1};

  TokenizerData data() const {
    TokenizerData data;
    data.model = "bert";
    data.tokens = tokens;
    data.types = types;
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

TEST(WordPieceTokenizer, TheLongestPieceComesFirst) {
  const Fixture fixture;
  EXPECT_THAT(encode(fixture.data(), "unaffable"), ElementsAre(4, 5, 6));
  EXPECT_THAT(encode(fixture.data(), "unaffe"), ElementsAre(1))
      << "one letter left over: the whole word is unknown";
  EXPECT_THAT(encode(fixture.data(), "unx un"), ElementsAre(1, 4));
  EXPECT_THAT(encode(fixture.data(), "able"), ElementsAre(1)) << "no beginning of a word";
}

TEST(WordPieceTokenizer, PunctuationAndIdeographsStandAlone) {
  const Fixture fixture;
  EXPECT_THAT(encode(fixture.data(), "un!un\u4E2Dun"), ElementsAre(4, 8, 4, 9, 4));
}

TEST(WordPieceTokenizer, CleansAndLowersItsText) {
  const Fixture fixture;
  TokenizerData data = fixture.data();
  EXPECT_THAT(encode(data, "UN\tu\u0001n\u200B\u00A0\u00C9T"), ElementsAre(4, 4, 11)) << "accents fall away";
  data.strip_accents = false;
  EXPECT_THAT(encode(data, "\u00C9T"), ElementsAre(10));
  data.lower_case = false;
  EXPECT_THAT(encode(data, "UN un"), ElementsAre(1, 4));
  EXPECT_THAT(encode(data, " \n\u00AD"), IsEmpty());
}

TEST(WordPieceTokenizer, ClassAndSeparator) {
  const Fixture fixture;
  TokenizerData data = fixture.data();
  EXPECT_THAT(encode(data, "un", true), ElementsAre(2, 4, 3))
      << "by their names, where the file does not say";
  data.class_id = 0;
  data.add_separator = false;
  EXPECT_THAT(encode(data, "un", true), ElementsAre(0, 4));
}

TEST(WordPieceTokenizer, LongWordsAreUnknown) {
  const Fixture fixture;
  EXPECT_EQ(encode(fixture.data(), "un" + std::string(98, 'a')).size(), 99U);
  EXPECT_THAT(encode(fixture.data(), "un" + std::string(99, 'a')), ElementsAre(1));
  EXPECT_THAT(encode(fixture.data(), std::string(1 << 20, 'a')), ElementsAre(1));
}

TEST(WordPieceTokenizer, GivesTextBack) {
  const Fixture fixture;
  const auto tokenizer = make_tokenizer(fixture.data()).value();
  EXPECT_EQ(tokenizer->decode({2, 4, 5, 6, 8, 3}, false), "unaffable !");
  EXPECT_EQ(tokenizer->kind(), "wordpiece");
  const auto ids = tokenizer->encode("\xFFun", {});
  ASSERT_FALSE(ids);
  EXPECT_THAT(ids.error().message, HasSubstr("byte 0"));
}

}  // namespace
}  // namespace lazyfill
