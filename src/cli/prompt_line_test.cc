#include "cli/prompt_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lazyfill::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(ParsePromptLine, ReadsEveryKind) {
  const auto plain = parse_prompt_line(R"({"prompt": "One", "id": 7, "flags": ["--lazy", "9:0.5"]})");
  ASSERT_TRUE(plain) << plain.error().message;
  EXPECT_EQ(plain->prompt, "One");
  EXPECT_EQ(plain->id, 7);
  EXPECT_THAT(plain->flags, ElementsAre("--lazy", "9:0.5"));
  const auto scored = parse_prompt_line(R"({"prompt": "One", "continuation": " two"})");
  ASSERT_TRUE(scored) << scored.error().message;
  EXPECT_EQ(scored->continuation, " two");
  EXPECT_TRUE(scored->id.is_null());
  const auto asked = parse_prompt_line(R"({"document": "D", "questions": ["a", "b"]})");
  ASSERT_TRUE(asked) << asked.error().message;
  EXPECT_THAT(asked->questions, ElementsAre("a", "b"));
}

TEST(ParsePromptLine, RefusesTheRestWithASentence) {
  struct Case {
    const char* line;
    const char* named;
  };
  constexpr Case kCases[] = {
      {"", "JSON"},
      {"[]", "JSON"},
      {"{", "JSON"},
      {"{}", "prompt"},
      {R"({"prompt": 3})", "prompt"},
      {R"({"prompt": ""})", "empty"},
      {R"({"prompt": "a", "continuation": ""})", "continuation"},
      {R"({"document": "a"})", "questions"},
      {R"({"document": "a", "questions": []})", "questions"},
      {R"({"document": "a", "questions": "b"})", "questions"},
      {R"({"document": "a", "questions": ["b", 1]})", "questions"},
      {R"({"document": "a", "questions": ["b", ""]})", "questions"},
      {R"({"prompt": "a", "questions": ["b"]})", "document"},
      {R"({"prompt": "a", "document": "d", "questions": ["b"]})", "prompt"},
      {R"({"document": "d", "questions": ["b"], "continuation": "c"})", "continuation"},
      {R"({"prompt": "a", "flags": "--chat"})", "flags"},
  };
  for (const Case& c : kCases) {
    const auto parsed = parse_prompt_line(c.line);
    ASSERT_FALSE(parsed) << c.line;
    EXPECT_THAT(parsed.error().message, HasSubstr(c.named)) << c.line;
  }
}

}  // namespace
}  // namespace lazyfill::cli
