// By brute force: the answers that a guide allows are the encodings of all texts that its pattern matches, no
// more and no fewer, and none of their beginnings is a dead end.
#include <gtest/gtest.h>

#include "decoding/test_tokenizers.h"

namespace lazyfill {
namespace {

using Answers = std::set<std::vector<int32_t>>;

std::vector<std::string> all_texts(const std::vector<std::string>& characters, size_t longest) {
  std::vector<std::string> texts{""};
  for (size_t begin = 0, n = 0; n < longest; ++n) {
    const size_t end = texts.size();
    for (; begin < end; ++begin) {
      for (const std::string& c : characters) texts.push_back(texts[begin] + c);
    }
  }
  return texts;
}

Answers encodings(const Tokenizer& tokenizer, const std::vector<std::string>& texts) {
  Answers all;
  for (const std::string& text : texts) {
    const auto ids = tokenizer.encode(text, {.add_special = false, .space_prefix = false});
    EXPECT_TRUE(ids);
    std::string back;
    for (const int32_t id : *ids) back += tokenizer.piece(id, false);
    if (back == text) all.insert(*ids);
  }
  return all;
}

void expect_exact(const SmallVocabulary& vocabulary, const std::string& pattern,
                  const std::vector<std::string>& texts) {
  const auto tokenizer = vocabulary.make();
  const auto guide = guide_of(*tokenizer, {.kind = GuideKind::kRegex, .source = pattern});
  ASSERT_NE(guide, nullptr);
  const auto constraint = start_constraint(guide);
  const Answers found = all_answers(*constraint, tokenizer->n_tokens());
  EXPECT_EQ(found, encodings(*tokenizer, texts))
      << vocabulary.model << " " << vocabulary.pre << ", " << pattern;
}

TEST(Canonical, BpeInOneWord) {
  const std::vector<std::string> letters{"a", "b", "c"};
  for (unsigned seed = 0; seed < 60; ++seed) {
    std::mt19937 random(seed);
    expect_exact(random_bpe(letters, 2 + seed % 7, random), "[abc]{0,4}", all_texts(letters, 4));
  }
}

TEST(Canonical, BpeOverBordersOfWords) {
  // U+0120 is the space of the GPT-2 alphabet.
  const std::vector<std::string> characters{"a", "\u0120", "1", "'", "s"};
  const std::vector<std::string> texts = all_texts({"a", " ", "1", "'", "s"}, 3);
  for (const char* pre : {"gpt-2", "smollm", "llama-bpe", "qwen2", "superbpe", "default"}) {
    for (unsigned seed = 0; seed < 8; ++seed) {
      std::mt19937 random(seed);
      SmallVocabulary vocabulary = random_bpe(characters, 3 + seed % 5, random);
      vocabulary.pre = pre;
      expect_exact(vocabulary, "[a 1's]{0,3}", texts);
    }
  }
}

// A word that is a token stays whole though its merges would never make it: what begins it may be no encoding
// of itself.
TEST(Canonical, WholeWordsThatMergesDoNotMake) {
  for (unsigned seed = 0; seed < 20; ++seed) {
    std::mt19937 random(seed);
    SmallVocabulary vocabulary = random_bpe({"a", "b"}, 3, random);
    vocabulary.pre = "llama-bpe";
    for (const char* word : {"aba", "bb", "abab"}) {
      if (std::find(vocabulary.tokens.begin(), vocabulary.tokens.end(), word) == vocabulary.tokens.end())
        vocabulary.tokens.emplace_back(word);
    }
    expect_exact(vocabulary, "[ab]{0,5}", all_texts({"a", "b"}, 5));
  }
}

TEST(Canonical, DigitsInGroupsFromTheRight) {
  for (const char* pre : {"superbpe", "llama-bpe", "tiny_aya", "deepseek-v3"}) {
    for (unsigned seed = 0; seed < 6; ++seed) {
      std::mt19937 random(seed);
      SmallVocabulary vocabulary = random_bpe({"1", "2"}, 4, random);
      vocabulary.pre = pre;
      expect_exact(vocabulary, "[12]{0,5}", all_texts({"1", "2"}, 5));
    }
  }
}

TEST(Canonical, SentencePieceAndUnigram) {
  for (const char* model : {"llama", "t5"}) {
    for (unsigned seed = 0; seed < 30; ++seed) {
      std::mt19937 random(seed);
      SmallVocabulary vocabulary = random_bpe({"a", "b", "\u2581"}, 6, random);
      vocabulary.model = model;
      vocabulary.merges.clear();
      for (size_t i = 0; i < vocabulary.tokens.size(); ++i)
        vocabulary.scores.push_back(-1.0F - 0.37F * static_cast<float>(random() % 16));
      expect_exact(vocabulary, "[ab ]{0,4}", all_texts({"a", "b", " "}, 4));
    }
  }
}

// MaxMatch: the longest piece first. Pieces that begin a word bear U+2581 there.
TEST(Canonical, WordPiece) {
  for (unsigned seed = 0; seed < 30; ++seed) {
    std::mt19937 random(seed);
    SmallVocabulary vocabulary = random_bpe({"a", "b"}, 5, random);
    vocabulary.model = "bert";
    vocabulary.merges.clear();
    for (size_t i = 1, n = vocabulary.tokens.size(); i < n; ++i) {
      if (random() % 2 == 0) vocabulary.tokens.push_back("\u2581" + vocabulary.tokens[i]);
    }
    for (const char* begin : {"\u2581a", "\u2581b"}) {
      if (std::find(vocabulary.tokens.begin(), vocabulary.tokens.end(), begin) == vocabulary.tokens.end())
        vocabulary.tokens.emplace_back(begin);
    }
    std::vector<std::string> texts;
    for (const std::string& text : all_texts({"a", "b"}, 4)) texts.push_back(" " + text);
    expect_exact(vocabulary, " [ab]{1,4}", {texts.begin() + 1, texts.end()});
  }
}

TEST(Canonical, ADeadEndIsNotEntered) {
  SmallVocabulary vocabulary;
  vocabulary.tokens = {"<end>", "a", "b", "ab"};
  vocabulary.merges = {"a b"};
  const auto tokenizer = vocabulary.make();
  const auto constraint = start_constraint(guide_of(*tokenizer, {.kind = GuideKind::kRegex, .source = "ab"}));
  EXPECT_FALSE(constraint->allows(1)) << "[a] [b] is no encoding";
  EXPECT_TRUE(constraint->allows(3));
  EXPECT_TRUE(has_token(constraint->mask(), 1)) << "its text alone would do";
  const auto any =
      start_constraint(guide_of(*tokenizer, {.kind = GuideKind::kRegex, .source = "ab", .canonical = false}));
  EXPECT_TRUE(any->allows(1));
  EXPECT_TRUE(any->allows(3));
}

}  // namespace
}  // namespace lazyfill
