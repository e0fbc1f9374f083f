#include "tokenizer/vocabulary_tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tokenizer/sentencepiece_normalizer.h"

namespace lazyfill {
namespace {

using ::testing::Each;
using ::testing::Lt;

struct Kind {
  std::string model;
  std::string pre;
};

// Bytes as tokens, where a kind has them: refusing is no lack of a way to say a byte.
class EveryKind : public ::testing::TestWithParam<Kind> {
 protected:
  Result<std::unique_ptr<Tokenizer>> make() const {
    TokenizerData data;
    data.model = GetParam().model;
    data.pre = GetParam().pre;
    data.tokens = tokens_;
    data.types = types_;
    data.scores = scores_;
    return make_tokenizer(data);
  }

 private:
  std::vector<std::string> tokens_{"<unk>",  "<s>",          "a",       "b", "<0xFF>", "\u00FF",
                                   "\u2581", "\xF0\x9F\x98", "\x98\x80"};
  std::vector<int64_t> types_{2, 3, 1, 1, 6, 1, 1, 4, 3};
  std::vector<float> scores_ = std::vector<float>(9, -1);
};

struct BadText {
  std::string text;
  size_t at = 0;
};

TEST_P(EveryKind, RefusesInvalidUtf8AndSaysWhereItLies) {
  const auto tokenizer = make();
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;
  const BadText texts[] = {{"ab\xFFz", 2},            // no byte of UTF-8
                           {"caf\xE9", 3},            // Latin-1
                           {"\xF0\x9F\x98", 0},       // half a character
                           {"a\xED\xA0\x80", 1},      // a surrogate
                           {"a<s>\xC0\xAF", 4},       // an overlong '/', after a special token
                           {"b\x80", 1},              // a stray continuation
                           {"\xF4\x90\x80\x80", 0}};  // beyond U+10FFFF
  for (const BadText& bad : texts) {
    for (const bool special : {false, true}) {
      const auto ids = (*tokenizer)->encode(bad.text, {.add_special = special, .parse_special = special});
      ASSERT_FALSE(ids);
      EXPECT_EQ(ids.error().code, ErrorCode::kInvalidArgument);
      EXPECT_EQ(ids.error().message, "the text is not valid UTF-8 at byte " + std::to_string(bad.at) +
                                         ": convert it to UTF-8 first");
    }
  }
}

TEST_P(EveryKind, TakesTheLastCharacterOfUnicodeAndAnEmptyText) {
  const auto tokenizer = make();
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;
  for (const char* text : {"", "\xF4\x8F\xBF\xBF", "\xEF\xBF\xBD", "\xC2\x80"})
    EXPECT_TRUE((*tokenizer)->encode(text, {.add_special = false}));
}

// A file may name half a character as a token that is found in texts as it is written.
TEST_P(EveryKind, NeverCutsACharacterInTwo) {
  const auto tokenizer = make();
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;
  for (const bool special : {false, true}) {
    const auto ids =
        (*tokenizer)->encode("a\U0001F600b\U0001F600", {.add_special = false, .parse_special = special});
    ASSERT_TRUE(ids);
    EXPECT_THAT(*ids, Each(Lt(7)));
  }
}

INSTANTIATE_TEST_SUITE_P(VocabularyTokenizer, EveryKind,
                         ::testing::Values(Kind{"gpt2", "gpt-2"}, Kind{"gpt2", "smollm"},
                                           Kind{"gemma4", "gemma4"}, Kind{"llama", ""}, Kind{"t5", ""},
                                           Kind{"bert", ""}),
                         [](const auto& kind) { return kind.param.model + std::to_string(kind.index); });

// A loop over a view takes begin() and end(), which must lie in the same array whatever file made them.
TEST(SpaceMark, IsOneArrayInEveryFile) {
  EXPECT_EQ(kSpaceMark.data(), &kSpaceMarkBytes[0]);
  EXPECT_EQ(kSpaceMark.size(), sizeof kSpaceMarkBytes - 1);
}

}  // namespace
}  // namespace lazyfill
