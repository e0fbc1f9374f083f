#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tokenizer/vocabulary_tokenizer.h"

namespace lazyfill {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// A vocabulary small enough to merge by hand. U+0120 stands for the space, as in GPT-2's alphabet.
struct Fixture {
  std::vector<std::string> tokens{"<|end|>", "a",      "b",      "c",           "\u0120", "1",
                                  "ab",      "bc",     "aa",     "\u0120ab",    "abc",    "<|im_start|>",
                                  "<user>",  "\u00C3", "\u00A9", "\u00C3\u00A9"};
  std::vector<std::string> merges{"b c", "a b", "\u0120 ab", "a a", "a bc", "\u00C3 \u00A9"};
  std::vector<int64_t> types{3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 3, 4, 1, 1, 1};

  TokenizerData data() const {
    TokenizerData data;
    data.model = "gpt2";
    data.pre = "smollm";
    data.tokens = tokens;
    data.merges = merges;
    data.types = types;
    data.bos_id = 11;
    data.eos_id = 0;
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

TEST(BpeTokenizer, TheLowestRankJoinsFirst) {
  const Fixture fixture;
  EXPECT_THAT(encode(fixture.data(), "abc"), ElementsAre(10)) << "b c before a b, then a bc";
  EXPECT_THAT(encode(fixture.data(), "ab"), ElementsAre(6));
  EXPECT_THAT(encode(fixture.data(), "a ab"), ElementsAre(1, 9));
}

TEST(BpeTokenizer, TheLeftmostOfEqualsJoinsFirst) {
  const Fixture fixture;
  EXPECT_THAT(encode(fixture.data(), "aaa"), ElementsAre(8, 1));
  EXPECT_THAT(encode(fixture.data(), "aaaa"), ElementsAre(8, 8));
}

TEST(BpeTokenizer, BytesWithoutATokenAreDropped) {
  const Fixture fixture;
  EXPECT_THAT(encode(fixture.data(), "azb"), ElementsAre(6)) << "what remains merges, as in the reference";
  EXPECT_THAT(encode(fixture.data(), ""), IsEmpty());
}

TEST(BpeTokenizer, SpecialTokensAreTextUnlessAskedFor) {
  const Fixture fixture;
  const std::string text = "<|im_start|>ab<|end|>";
  EXPECT_THAT(encode(fixture.data(), text), ElementsAre(1, 6)) << "the letters a, ab of the plain text";
  EXPECT_THAT(encode(fixture.data(), text, {.parse_special = true}), ElementsAre(11, 6, 0));
  EXPECT_THAT(encode(fixture.data(), "a<user>b"), ElementsAre(1, 12, 2))
      << "user-defined tokens always match";
}

TEST(BpeTokenizer, BosAndEosWhereTheFileAsks) {
  const Fixture fixture;
  TokenizerData data = fixture.data();
  EXPECT_THAT(encode(data, "a"), ElementsAre(1));
  data.add_bos = true;
  data.add_eos = true;
  EXPECT_THAT(encode(data, "a"), ElementsAre(11, 1, 0));
  EXPECT_THAT(encode(data, "a", {.add_special = false}), ElementsAre(1));
}

TEST(BpeTokenizer, DecodesBytes) {
  const Fixture fixture;
  const auto tokenizer = make_tokenizer(fixture.data()).value();
  EXPECT_EQ(tokenizer->piece(13, false), "\xC3");
  EXPECT_EQ(tokenizer->piece(11, false), "");
  EXPECT_EQ(tokenizer->piece(11, true), "<|im_start|>");
  EXPECT_EQ(tokenizer->decode({11, 9, 15, 0}, false), " ab\xC3\xA9");
  EXPECT_EQ(tokenizer->decode({11, 9}, true), "<|im_start|> ab");
  EXPECT_EQ(tokenizer->kind(), "bpe (smollm)");
  EXPECT_EQ(tokenizer->n_tokens(), fixture.tokens.size());
}

TEST(BpeTokenizer, EndTokens) {
  Fixture fixture;
  fixture.tokens[11] = "<|im_end|>";
  const auto tokenizer = make_tokenizer(fixture.data()).value();
  EXPECT_TRUE(tokenizer->is_end(0));
  EXPECT_TRUE(tokenizer->is_end(11)) << "an end of turn by its name";
  EXPECT_FALSE(tokenizer->is_end(1));
  EXPECT_EQ(tokenizer->eos_id(), 0);
}

TEST(BpeTokenizer, InvalidTextIsRefusedWithItsOffset) {
  const Fixture fixture;
  const auto ids = make_tokenizer(fixture.data()).value()->encode("ab\xFF", {});
  ASSERT_FALSE(ids);
  EXPECT_EQ(ids.error().code, ErrorCode::kInvalidArgument);
  EXPECT_THAT(ids.error().message, HasSubstr("byte 2"));
}

TEST(BpeTokenizer, BadFilesAreRefused) {
  const Fixture good;
  const auto message_of = [](const TokenizerData& data) {
    const auto tokenizer = make_tokenizer(data);
    return tokenizer ? std::string("accepted") : tokenizer.error().message;
  };
  TokenizerData data = good.data();
  data.pre = "wonder";
  EXPECT_THAT(message_of(data), HasSubstr("\"wonder\""));
  EXPECT_THAT(message_of(data), HasSubstr("smollm, ")) << "the list of those that are supported";
  data = good.data();
  data.model = "rwkv";
  EXPECT_THAT(message_of(data), HasSubstr("\"rwkv\""));
  data = good.data();
  data.tokens = {};
  data.types.clear();
  EXPECT_THAT(message_of(data), HasSubstr("tokens is empty"));
  data = good.data();
  data.types.pop_back();
  EXPECT_THAT(message_of(data), HasSubstr("token_type has 15 entries for 16 tokens"));
  data = good.data();
  data.types[3] = 99;
  EXPECT_THAT(message_of(data), HasSubstr("token 3"));
  data = good.data();
  data.eos_id = 16;
  EXPECT_THAT(message_of(data), HasSubstr("eos_token_id is 16"));
  for (const char* merge : {"a", "", " ", "a x", "c a", "<user> a"}) {
    Fixture bad;
    bad.merges[2] = merge;
    EXPECT_THAT(message_of(bad.data()), HasSubstr("merges entry 2")) << merge;
  }
}

// Gemma 4's form: merges from characters, U+2581 for spaces, tokens for the bytes of what is not there.
TEST(BpeTokenizer, MergesCharacters) {
  const std::vector<std::string> tokens{"<bos>", "\u2581", "a", "\u2581a", "<0xC3>", "<0xA9>", "\n", "\n\n"};
  const std::vector<std::string> merges{"\u2581 a", "\n \n"};
  TokenizerData data;
  data.model = "gemma4";
  data.tokens = tokens;
  data.merges = merges;
  data.types = {3, 1, 1, 1, 6, 6, 1, 1};
  data.bos_id = 0;
  EXPECT_THAT(encode(data, "a a\u00E9\n\n"), ElementsAre(0, 2, 3, 4, 5, 7));
  const auto tokenizer = make_tokenizer(data).value();
  EXPECT_EQ(tokenizer->kind(), "bpe (gemma4)");
  EXPECT_EQ(tokenizer->decode({2, 3, 4, 5, 7}, false), "a a\u00E9\n\n");
  StreamingDecoder decoder(*tokenizer);
  EXPECT_EQ(decoder.push(4), "") << "half a character";
  EXPECT_EQ(decoder.push(5), "\u00E9");
}

// A naive merger takes minutes for this; the test has no clock, but its time limit would end such a run.
TEST(BpeTokenizer, AMegabyteOfOneLetter) {
  const Fixture fixture;
  EXPECT_EQ(encode(fixture.data(), std::string(1 << 20, 'a')), std::vector<int32_t>(1 << 19, 8));
}

}  // namespace
}  // namespace lazyfill
