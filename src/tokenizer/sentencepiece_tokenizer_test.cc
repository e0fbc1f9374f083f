#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "tokenizer/vocabulary_tokenizer.h"

namespace lazyfill {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// U+2581 stands for the space; the ids of pieces are their places in this list.
struct Fixture {
  std::vector<std::string> tokens{"<unk>", "<bos>", "<eos>",  "<0xC3>",       "<0xA9>", "a",
                                  "b",     "c",     "\u2581", "ab",           "bc",     "\u2581ab",
                                  "abc",   "  ",    "<b>",    "<end_of_turn>"};
  std::vector<float> scores{0, 0, 0, 0, 0, -9, -9, -9, -9, -2, -1, -3, -4, 0, 0, 0};
  std::vector<int64_t> types{2, 3, 3, 6, 6, 1, 1, 1, 1, 1, 1, 1, 1, 4, 4, 3};

  TokenizerData data() const {
    TokenizerData data;
    data.model = "llama";
    data.tokens = tokens;
    data.scores = scores;
    data.types = types;
    data.bos_id = 1;
    data.eos_id = 2;
    data.unknown_id = 0;
    data.add_bos = false;
    data.add_space_prefix = false;
    return data;
  }
};

std::vector<int32_t> encode(const TokenizerData& data, std::string_view text,
                            Tokenizer::EncodeOptions options = {}) {
  const auto tokenizer = make_tokenizer(data);
  if (!tokenizer) {
    ADD_FAILURE() << tokenizer.error().message;
    return {};
  }
  const auto ids = (*tokenizer)->encode(text, options);
  EXPECT_TRUE(ids) << ids.error().message;
  return ids ? *ids : std::vector<int32_t>();
}

TEST(SentencePieceTokenizer, TheHighestScoreJoinsFirst) {
  const Fixture fixture;
  EXPECT_THAT(encode(fixture.data(), "abc"), ElementsAre(12)) << "bc, then a + bc";
  EXPECT_THAT(encode(fixture.data(), "ab"), ElementsAre(9));
  EXPECT_THAT(encode(fixture.data(), "c ab"), ElementsAre(7, 11));
}

TEST(SentencePieceTokenizer, SpacePrefix) {
  const Fixture fixture;
  TokenizerData data = fixture.data();
  data.add_space_prefix = true;
  EXPECT_THAT(encode(data, "ab"), ElementsAre(11));
  EXPECT_TRUE(encode(data, "").empty());
  const auto tokenizer = make_tokenizer(data).value();
  EXPECT_EQ(tokenizer->decode({11}, false), "ab");
  EXPECT_EQ(tokenizer->decode({1, 11, 11}, false), "ab ab");
  EXPECT_EQ(tokenizer->piece(11, false), " ab");
}

TEST(SentencePieceTokenizer, WhatNoPieceCoversIsSpelledInBytes) {
  const Fixture fixture;
  EXPECT_THAT(encode(fixture.data(), "a\u00E9"), ElementsAre(5, 3, 4));
  EXPECT_THAT(encode(fixture.data(), "azzzb"), ElementsAre(5, 0, 6))
      << "no byte tokens: one unknown for the run";
  EXPECT_EQ(make_tokenizer(fixture.data()).value()->decode({5, 3, 4}, false), "a\u00E9");
}

TEST(SentencePieceTokenizer, ByteTokensAreNotText) {
  const Fixture fixture;
  EXPECT_THAT(encode(fixture.data(), "<0xC3>"), ElementsAre(0));
}

TEST(SentencePieceTokenizer, UserDefinedTokensComeBeforeMerges) {
  const Fixture fixture;
  EXPECT_THAT(encode(fixture.data(), "a  ab"), ElementsAre(5, 13, 9))
      << "two spaces are taken, none is left for ab";
  EXPECT_THAT(encode(fixture.data(), "a<b>b"), ElementsAre(5, 14, 6));
}

// What converters call user-defined are transformers' added tokens: the text is cut there before anything
// else, and each part between them gets a space of its own.
TEST(SentencePieceTokenizer, UserDefinedTokensCutTheText) {
  const Fixture fixture;
  TokenizerData data = fixture.data();
  data.add_space_prefix = true;
  const auto tokenizer = make_tokenizer(data).value();
  struct Case {
    std::string text;
    std::vector<int32_t> ids;  // 8: the space alone, 11: it with ab, 13: two spaces, 14: <b>
  };
  const Case cases[] = {{"<b>ab", {14, 11}},
                        {"<b>", {14}},
                        {"<b><b>ab", {14, 14, 11}},
                        {"ab<b>ab<b>", {11, 14, 11, 14}},
                        {"<b> ab", {14, 8, 11}},
                        {" <b>", {8, 8, 14}},
                        {"  <b>", {13, 14}},
                        {"<b>  ab", {14, 13, 11}},
                        {"<b>   <b>", {14, 13, 8, 8, 14}},
                        {"  ab", {13, 11}},
                        {" ab", {8, 11}}};
  for (const Case& c : cases) {
    EXPECT_EQ(tokenizer->encode(c.text, {}).value(), c.ids) << c.text;
    EXPECT_EQ(tokenizer->decode(c.ids, false), c.text);
  }
  data.add_bos = true;
  EXPECT_THAT(encode(data, "<b>ab"), ElementsAre(1, 14, 11));
  EXPECT_EQ(tokenizer->decode({1, 14, 11}, false), "<b>ab");
}

// Files of some converters keep U+2581 in such tokens, others write spaces.
TEST(SentencePieceTokenizer, UserDefinedTokensAreFoundWithEitherMarkOfASpace) {
  Fixture fixture;
  for (const char* spelling : {"  ", "\u2581\u2581"}) {
    fixture.tokens[13] = spelling;
    EXPECT_THAT(encode(fixture.data(), "a  b"), ElementsAre(5, 13, 6));
    EXPECT_THAT(encode(fixture.data(), "a\u2581\u2581b"), ElementsAre(5, 13, 6));
    EXPECT_THAT(encode(fixture.data(), "a \u2581b"), ElementsAre(5, 13, 6));
  }
}

TEST(SentencePieceTokenizer, ControlTokensOnlyWhenAskedFor) {
  const Fixture fixture;
  EXPECT_THAT(encode(fixture.data(), "a<bos>b", {.parse_special = true}), ElementsAre(5, 1, 6));
  const auto plain = encode(fixture.data(), "a<bos>b");
  EXPECT_EQ(std::count(plain.begin(), plain.end(), 1), 0);
}

TEST(SentencePieceTokenizer, ControlTokensOfPhi3SwallowSpaces) {
  const Fixture fixture;
  TokenizerData data = fixture.data();
  const Tokenizer::EncodeOptions special{.parse_special = true};
  EXPECT_THAT(encode(data, "a<bos>  b", special), ElementsAre(5, 1, 13, 6));
  data.name = "Phi-3 mini";
  EXPECT_THAT(encode(data, "a<bos>  b", special), ElementsAre(5, 1, 6));
  EXPECT_THAT(encode(data, "a<bos> \n\t", special), ElementsAre(5, 1));
}

TEST(SentencePieceTokenizer, UnusedPiecesAreTakenApartAgain) {
  Fixture fixture;
  fixture.types[10] = 5;  // bc
  EXPECT_THAT(encode(fixture.data(), "bc"), ElementsAre(6, 7));
  EXPECT_THAT(encode(fixture.data(), "abc"), ElementsAre(12)) << "but others may grow from them";
}

TEST(SentencePieceTokenizer, BosByDefault) {
  const Fixture fixture;
  TokenizerData data = fixture.data();
  data.add_bos.reset();
  EXPECT_THAT(encode(data, "ab"), ElementsAre(1, 9));
  EXPECT_THAT(encode(data, "ab", {.add_special = false}), ElementsAre(9));
}

TEST(SentencePieceTokenizer, EndOfTurnEndsAndHtmlDoesNot) {
  Fixture fixture;
  fixture.tokens[14] = "</s>";
  const auto tokenizer = make_tokenizer(fixture.data()).value();
  EXPECT_TRUE(tokenizer->is_end(2));
  EXPECT_TRUE(tokenizer->is_end(15));
  EXPECT_FALSE(tokenizer->is_end(14)) << "a user-defined token";
}

TEST(SentencePieceTokenizer, BadFilesAreRefused) {
  const Fixture fixture;
  TokenizerData data = fixture.data();
  data.scores.pop_back();
  auto tokenizer = make_tokenizer(data);
  ASSERT_FALSE(tokenizer);
  EXPECT_THAT(tokenizer.error().message, HasSubstr("scores has 15 entries for 16 tokens"));
  data = fixture.data();
  data.scores[5] = std::numeric_limits<float>::quiet_NaN();
  tokenizer = make_tokenizer(data);
  ASSERT_FALSE(tokenizer);
  EXPECT_THAT(tokenizer.error().message, HasSubstr("not a number"));
}

TEST(SentencePieceTokenizer, AMegabyteOfOneWord) {
  const Fixture fixture;
  std::string text;
  for (int i = 0; i < 300000; ++i) text += "abc";
  EXPECT_EQ(encode(fixture.data(), text), std::vector<int32_t>(300000, 12));
}

// Pieces that cut characters, one byte a token.
class Bytes final : public Tokenizer {
 public:
  Result<std::vector<int32_t>> encode(std::string_view text, EncodeOptions) const override {
    return std::vector<int32_t>(text.begin(), text.end());
  }
  std::string piece(int32_t id, bool) const override { return std::string(1, static_cast<char>(id)); }
  std::string decode(const std::vector<int32_t>& ids, bool) const override {
    return {ids.begin(), ids.end()};
  }
  size_t n_tokens() const override { return 256; }
  int32_t bos_id() const override { return -1; }
  int32_t eos_id() const override { return -1; }
  bool is_end(int32_t) const override { return false; }
  std::string_view kind() const override { return "bytes"; }
};

TEST(StreamingDecoder, HoldsBackHalfCharacters) {
  const Bytes bytes;
  StreamingDecoder decoder(bytes);
  EXPECT_EQ(decoder.push('a'), "a");
  EXPECT_EQ(decoder.push(0xF0), "");
  EXPECT_EQ(decoder.push(0x9F), "");
  EXPECT_EQ(decoder.push(0x98), "");
  EXPECT_EQ(decoder.push(0x80), "\U0001F600");
  EXPECT_EQ(decoder.finish(), "");
}

TEST(StreamingDecoder, ReplacesWhatIsNoCharacter) {
  const Bytes bytes;
  StreamingDecoder decoder(bytes);
  EXPECT_EQ(decoder.push(0x80), "\uFFFD");
  EXPECT_EQ(decoder.push(0xE6), "");
  EXPECT_EQ(decoder.push('x'), "\uFFFDx");
  EXPECT_EQ(decoder.push(0xE6), "");
  EXPECT_EQ(decoder.finish(), "\uFFFD");
  EXPECT_EQ(decoder.finish(), "");
}

}  // namespace
}  // namespace lazyfill
