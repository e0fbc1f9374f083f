#include "decoding/guide.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "decoding/test_tokenizers.h"

namespace lazyfill {
namespace {

using ::testing::HasSubstr;

SmallVocabulary letters() {
  SmallVocabulary vocabulary;
  for (char c = 'a'; c <= 'z'; ++c) vocabulary.tokens.push_back(std::string(1, c));
  vocabulary.tokens.insert(vocabulary.tokens.end(), {"th", "the", "abc"});
  vocabulary.merges = {"t h", "th e"};
  return vocabulary;
}

std::string error_of(const GuideOptions& options) {
  const auto tokenizer = letters().make();
  const auto guide = Guide::compile(options, std::make_shared<const GuideVocabulary>(*tokenizer));
  return guide ? "" : guide.error().message;
}

TEST(Guide, TheMaskHasTheTokensOfThePattern) {
  const auto tokenizer = letters().make();
  const auto constraint = start_constraint(
      guide_of(*tokenizer, {.kind = GuideKind::kRegex, .source = "t[h-j]e|ab", .canonical = false}));
  std::set<std::string> allowed;
  for (int32_t token = 0; token < static_cast<int32_t>(tokenizer->n_tokens()); ++token) {
    EXPECT_EQ(has_token(constraint->mask(), token), constraint->allows(token)) << token;
    if (constraint->allows(token)) allowed.insert(tokenizer->piece(token, false));
  }
  EXPECT_EQ(allowed, (std::set<std::string>{"t", "th", "the", "a"}));
  EXPECT_FALSE(constraint->may_end());
  EXPECT_FALSE(constraint->allows(0)) << "the end token";
}

TEST(Guide, AcceptRewindAndEnd) {
  const auto tokenizer = letters().make();
  const auto constraint =
      start_constraint(guide_of(*tokenizer, {.kind = GuideKind::kChoice, .choices = {"the", "them", "toe"}}));
  const auto id = [&](std::string_view text) {
    return tokenizer->encode(text, {.add_special = false})->at(0);
  };
  ASSERT_TRUE(constraint->allows(id("the")));
  constraint->accept(id("the"));
  EXPECT_TRUE(constraint->may_end());
  EXPECT_FALSE(constraint->must_end());
  EXPECT_TRUE(constraint->allows(0));
  constraint->accept(id("m"));
  EXPECT_TRUE(constraint->may_end());
  EXPECT_TRUE(constraint->must_end());
  constraint->rewind(2);
  EXPECT_EQ(constraint->n_accepted(), 0U);
  EXPECT_FALSE(constraint->may_end());
  EXPECT_TRUE(constraint->allows(id("t")));
  EXPECT_FALSE(constraint->allows(id("h")));
}

TEST(Guide, EveryAnswerMatches) {
  const auto tokenizer = letters().make();
  const auto guide = guide_of(
      *tokenizer,
      {.kind = GuideKind::kGrammar, .source = "root ::= \"a\" root \"b\" | \"the\"", .canonical = false});
  std::mt19937 random(3);
  for (int round = 0; round < 50; ++round) {
    const auto constraint = start_constraint(guide);
    std::string text;
    while (!constraint->must_end() && text.size() < 40) {
      std::vector<int32_t> allowed;
      for (int32_t token = 1; token < static_cast<int32_t>(tokenizer->n_tokens()); ++token) {
        if (constraint->allows(token)) allowed.push_back(token);
      }
      ASSERT_FALSE(allowed.empty());
      const int32_t token = allowed[random() % allowed.size()];
      text += tokenizer->piece(token, false);
      constraint->accept(token);
    }
    if (text.size() >= 40) continue;
    const size_t n = text.find("the");
    ASSERT_NE(n, std::string::npos) << text;
    EXPECT_EQ(text, std::string(n, 'a') + "the" + std::string(n, 'b'));
  }
}

SmallVocabulary letters_and_calls() {
  SmallVocabulary vocabulary = letters();
  for (const char* one : {"{", "}", "\"", ":", ",", "1", "<", ">", "[CALLS]", "<call>", "<other>"})
    vocabulary.tokens.push_back(one);
  const auto n = static_cast<int32_t>(vocabulary.tokens.size());
  vocabulary.control = {0, n - 3, n - 2, n - 1};
  return vocabulary;
}

TEST(Guide, ControlTokensStandWhereTheyAreNamed) {
  const auto tokenizer = letters_and_calls().make();
  const auto n = static_cast<int32_t>(tokenizer->n_tokens());
  const std::string by_id = "<[" + std::to_string(n - 3) + "]>";
  for (const bool canonical : {true, false}) {
    const auto constraint = start_constraint(
        guide_of(*tokenizer, {.kind = GuideKind::kGrammar,
                              .source = "root ::= [^x]* (" + by_id + " \"the\" | <call> \"a\" <call>)",
                              .canonical = canonical}));
    std::set<int32_t> control;
    for (const int32_t id : {n - 3, n - 2, n - 1})
      if (constraint->allows(id) && has_token(constraint->mask(), id)) control.insert(id);
    EXPECT_EQ(control, (std::set<int32_t>{n - 3, n - 2}));
    constraint->accept(tokenizer->encode("th", {.add_special = false})->at(0));
    ASSERT_TRUE(constraint->allows(n - 2));
    constraint->accept(n - 2);
    EXPECT_FALSE(constraint->allows(n - 2));
    EXPECT_FALSE(constraint->may_end());
    constraint->accept(1);  // a
    ASSERT_TRUE(constraint->allows(n - 2));
    constraint->accept(n - 2);
    EXPECT_TRUE(constraint->must_end());
    constraint->rewind(3);
    ASSERT_TRUE(constraint->allows(n - 3));
    constraint->accept(n - 3);
    EXPECT_EQ(constraint->allows(20), !canonical) << "t, where \"the\" is one token";
  }
}

TEST(Guide, ATextThatSpellsAControlTokenIsNone) {
  const auto tokenizer = letters_and_calls().make();
  const auto constraint = start_constraint(
      guide_of(*tokenizer, {.kind = GuideKind::kGrammar, .source = "root ::= <call>", .canonical = false}));
  const int32_t less = tokenizer->encode("<", {.add_special = false})->at(0);
  EXPECT_FALSE(constraint->allows(less));
  EXPECT_FALSE(has_token(constraint->mask(), less));
}

TEST(Guide, KeysDifferWithinEachPieceOfJson) {
  const auto tokenizer = letters_and_calls().make();
  const std::string source =
      R"(root ::= [^.]* ("calls:" %json {"type": "object", "additionalProperties": {"const": 1}})*)";
  for (const bool canonical : {true, false}) {
    const auto constraint = start_constraint(
        guide_of(*tokenizer, {.kind = GuideKind::kGrammar, .source = source, .canonical = canonical}));
    const auto accept = [&](std::string_view text) {
      const auto ids = tokenizer->encode(text, {.add_special = false, .space_prefix = false});
      for (const int32_t id : *ids) {
        if (!constraint->allows(id)) return false;
        constraint->accept(id);
      }
      return true;
    };
    ASSERT_TRUE(accept("{\"a\":1,\"a\":1,calls:{\"a\":1}calls:{\"a\":1,\"b\":1")) << "each by itself";
    EXPECT_FALSE(accept(",\"a\":1}"));
  }
}

TEST(Guide, MistakesAreOneSentence) {
  EXPECT_THAT(error_of({.kind = GuideKind::kRegex, .source = "(a"}), HasSubstr("a group has no )"));
  EXPECT_THAT(error_of({.kind = GuideKind::kChoice}), HasSubstr("no choice"));
  EXPECT_THAT(error_of({.kind = GuideKind::kChoice, .choices = {"a", ""}}), HasSubstr("choice 2 is empty"));
  EXPECT_THAT(error_of({.kind = GuideKind::kGrammar, .source = "x"}), HasSubstr("::="));
  EXPECT_THAT(error_of({.kind = GuideKind::kRegex, .source = "((a{1000}){1000}){1000}b"}),
              HasSubstr("bounded time"));
  EXPECT_THAT(error_of({.kind = GuideKind::kRegex, .source = std::string(100000, 'a')}), HasSubstr("bytes"));
}

// Patterns that make engines with backtracking, or automata that are built ahead, take for ever.
TEST(Guide, HostilePatternsEndSoon) {
  const auto tokenizer = letters().make();
  for (const char* pattern : {"(a*)*b", "(a|aa)*c", "(([a-z])+.)+[A-Z]([a-z])+", ".*a.{200}",
                              "((a{0,100}){0,100}){0,100}b?", "(.*a){20}", "(x+x+)+y"}) {
    const auto guide =
        guide_of(*tokenizer, {.kind = GuideKind::kRegex, .source = pattern, .canonical = false});
    ASSERT_NE(guide, nullptr);
    const auto constraint = start_constraint(guide);
    for (int i = 0; i < 300; ++i) {
      const int32_t token = constraint->allows(1) ? 1 : 24;  // a, else x
      if (!constraint->allows(token)) break;
      constraint->accept(token);
    }
    EXPECT_LT(guide->bytes_used(), size_t{40} << 20) << pattern;
  }
}

TEST(Guide, WhatWasForgottenIsFoundAgain) {
  const auto tokenizer = letters().make();
  const auto guide =
      guide_of(*tokenizer, {.kind = GuideKind::kRegex, .source = "(.*a.{300}|the)*", .canonical = false});
  const auto constraint = start_constraint(guide);
  std::mt19937 random(1);
  const uint64_t generation = guide->generation();
  for (int i = 0; i < 4000 && guide->generation() == generation; ++i) {
    const auto token = static_cast<int32_t>(1 + random() % 26);
    ASSERT_TRUE(constraint->allows(token)) << i;
    constraint->accept(token);
  }
  EXPECT_TRUE(constraint->allows(1)) << "also after a generation";
}

TEST(GuideCache, KeepsTheLatestWithinItsBound) {
  const auto tokenizer = letters().make();
  const auto vocabulary = std::make_shared<const GuideVocabulary>(*tokenizer);
  GuideCache cache(100'000);
  const auto first = *cache.get({.kind = GuideKind::kRegex, .source = "a+"}, vocabulary);
  EXPECT_EQ(*cache.get({.kind = GuideKind::kRegex, .source = "a+"}, vocabulary), first);
  EXPECT_NE(*cache.get({.kind = GuideKind::kRegex, .source = "a+", .canonical = false}, vocabulary), first);
  for (int i = 0; i < 2000; ++i) {
    ASSERT_TRUE(cache.get({.kind = GuideKind::kRegex, .source = "x{" + std::to_string(i) + "}"}, vocabulary));
    ASSERT_LE(cache.bytes_used(), 200'000U);
  }
  EXPECT_FALSE(cache.get({.kind = GuideKind::kRegex, .source = "("}, vocabulary));
  EXPECT_NE(*cache.get({.kind = GuideKind::kRegex, .source = "a+"}, vocabulary), first) << "it has left";
}

}  // namespace
}  // namespace lazyfill
