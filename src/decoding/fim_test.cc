#include "decoding/fim.h"

#include <gmock/gmock.h>

#include "decoding/test_tokenizers.h"

namespace lazyfill {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::vector<std::string> letters() {
  return {"a", "b", "c", "Ċ"};
}

std::string text_of(const Tokenizer& tokenizer, const std::vector<int32_t>& ids) {
  std::string text;
  for (const int32_t id : ids) text += tokenizer.piece(id, false);
  return text;
}

// The first end behind the beginning is the only one, and the last thing.
bool is_output(const std::string& text, const std::string& begin, const std::string& end) {
  if (!text.starts_with(begin)) return false;
  if (end.empty()) return true;
  const size_t at = text.find(end, begin.size());
  return at != std::string::npos && at + end.size() == text.size();
}

TEST(Fim, OutputsAreExactlyThoseThatBeginAndEndSo) {
  std::mt19937 random(5);
  for (const auto& [begin, end] : std::vector<std::pair<std::string, std::string>>{
           {"", "a"}, {"a", "\n"}, {"ab", "b\n"}, {"b", "aab"}, {"", "abab"}, {"cc", "cc"}, {"a", "aa\n"}}) {
    SmallVocabulary vocabulary = random_bpe(letters(), 4, random);
    const auto tokenizer = vocabulary.make();
    auto constraint =
        start_constraint(guide_of(*tokenizer, {.kind = GuideKind::kLines, .choices = {begin, end}}));
    // All strings of up to four tokens against the sentence above.
    const auto n_tokens = static_cast<int32_t>(vocabulary.tokens.size());
    size_t n_whole = 0;
    std::vector<int32_t> ids;
    const std::function<void(bool)> go_on = [&](bool is_allowed) {
      const std::string text = text_of(*tokenizer, ids);
      if (is_allowed) {
        EXPECT_EQ(constraint->may_end(), is_output(text, begin, end)) << text;
        EXPECT_EQ(constraint->must_end(), is_output(text, begin, end)) << text;
        n_whole += constraint->may_end() ? 1 : 0;
      } else {
        EXPECT_FALSE(is_output(text, begin, end)) << text << " of " << begin << " " << end;
      }
      if (ids.size() == 4) return;
      for (int32_t token = 1; token < n_tokens; ++token) {
        const bool fits = is_allowed && constraint->allows(token);
        if (is_allowed) {
          EXPECT_EQ(has_token(constraint->mask(), token), fits);
        }
        ids.push_back(token);
        if (fits) constraint->accept(token);
        go_on(fits);
        if (fits) constraint->rewind(1);
        ids.pop_back();
      }
    };
    go_on(true);
    EXPECT_GT(n_whole, 0U) << begin << " " << end;
  }
}

TEST(Fim, WithoutAnEndAnOutputEndsWhereTheModelSaysSo) {
  const auto tokenizer = SmallVocabulary{.tokens = {"<end>", "a", "b"}}.make();
  auto constraint =
      start_constraint(guide_of(*tokenizer, {.kind = GuideKind::kLines, .choices = {"ab", ""}}));
  EXPECT_FALSE(constraint->allows(0));
  EXPECT_EQ(constraint->known_next(), 1);
  constraint->accept(1);
  EXPECT_FALSE(constraint->allows(1));
  constraint->accept(2);
  EXPECT_TRUE(constraint->allows(0));
  EXPECT_TRUE(constraint->allows(1));
  EXPECT_FALSE(constraint->must_end());
}

TEST(Fim, NoOutputEndsInsideOfACharacter) {
  // U+00E9 is C3 A9, in the alphabet of byte-level BPE "Ã" and "©".
  const auto tokenizer = SmallVocabulary{.tokens = {"<end>", "Ã", "©", "a"}}.make();
  auto constraint = start_constraint(guide_of(*tokenizer, {.kind = GuideKind::kLines, .choices = {"", "a"}}));
  EXPECT_FALSE(constraint->allows(2));
  constraint->accept(1);
  EXPECT_FALSE(constraint->allows(3));
  EXPECT_FALSE(constraint->allows(1));
  constraint->accept(2);
  EXPECT_TRUE(constraint->allows(3));
}

TEST(Fim, ABeginningCanEndInTheMiddleOfAToken) {
  const auto tokenizer = SmallVocabulary{.tokens = {"<end>", "a", "b", "c", "ab", "abc"}}.make();
  auto constraint =
      start_constraint(guide_of(*tokenizer, {.kind = GuideKind::kLines, .choices = {"a", "c"}}));
  std::vector<int32_t> allowed;
  for (int32_t token = 1; token < 6; ++token)
    if (constraint->allows(token)) allowed.push_back(token);
  EXPECT_THAT(allowed, ElementsAre(1, 4, 5));
}

TEST(Fim, TheMiddleIsWhatStandsBetween) {
  for (size_t n_at_a_time = 1; n_at_a_time < 12; ++n_at_a_time) {
    const std::string output = "abaababab\n";
    MiddleText middle("aba", "abab\n");
    std::string text;
    for (size_t i = 0; i < output.size(); i += n_at_a_time)
      text += middle.push(output.substr(i, n_at_a_time));
    EXPECT_EQ(text, "ab");
  }
}

TEST(Fim, WhereAnAnswerIsCutInTheEndTheEndIsNotGiven) {
  MiddleText middle("x", ");\n");
  EXPECT_EQ(middle.push("xy)"), "y");
  EXPECT_EQ(middle.push(") + 1)"), ")) + 1");
  MiddleText empty("abc", "");
  EXPECT_THAT(empty.push("ab"), IsEmpty());
  EXPECT_EQ(empty.push("cd"), "d");
}

TEST(Fim, LinesThatAreNoTextAreRefused) {
  const auto tokenizer = SmallVocabulary{.tokens = {"<end>", "a"}}.make();
  const auto vocabulary = std::make_shared<const GuideVocabulary>(*tokenizer);
  EXPECT_FALSE(Guide::compile({.kind = GuideKind::kLines, .choices = {"one"}}, vocabulary));
  EXPECT_FALSE(Guide::compile({.kind = GuideKind::kLines, .choices = {"\xC3", ""}}, vocabulary));
  EXPECT_FALSE(
      Guide::compile({.kind = GuideKind::kLines, .choices = {"", std::string(2 << 20, 'a')}}, vocabulary));
}

}  // namespace
}  // namespace lazyfill
