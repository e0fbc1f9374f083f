#include "cli/prompt_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lazyfill::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(ParsePromptLine, ReadsEveryKind) {
  const auto plain = parse_prompt_line(R"({"prompt": "One", "id": 7, "flags": ["--lazy", "9:0.5"]})");
  ASSERT_TRUE(plain.prompt) << plain.prompt.error().error.message;
  EXPECT_EQ(plain.prompt->prompt, "One");
  EXPECT_EQ(plain.id, "7");
  EXPECT_THAT(plain.prompt->flags, ElementsAre("--lazy", "9:0.5"));
  const auto scored = parse_prompt_line(R"({"prompt": "One", "continuation": " two"})");
  ASSERT_TRUE(scored.prompt) << scored.prompt.error().error.message;
  EXPECT_EQ(scored.prompt->continuation, " two");
  EXPECT_EQ(scored.id, "");
  const auto asked = parse_prompt_line(R"({"document": "D", "questions": ["a", "b"]})");
  ASSERT_TRUE(asked.prompt) << asked.prompt.error().error.message;
  EXPECT_THAT(asked.prompt->questions, ElementsAre("a", "b"));
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
      {R"({"messages": []})", "holds no message"},
      {R"({"messages": "hi"})", "no JSON array of messages"},
      {R"({"messages": ["hi"]})", "number 1 is no object"},
      {R"({"messages": [{"content": "hi"}]})", "number 1 has no \"role\""},
      {R"({"messages": [{"role": "user", "content": "a"}, {"role": 3, "content": "b"}]})", "number 2"},
      {R"({"messages": [{"role": "user"}]})", "has no \"content\""},
      {R"({"messages": [{"role": "user", "content": 5}]})", "neither a text nor a list"},
      {R"({"messages": [{"role": "user", "content": "a"}], "prompt": "b"})", "leave one out"},
  };
  for (const Case& c : kCases) {
    const auto parsed = parse_prompt_line(c.line);
    ASSERT_FALSE(parsed.prompt) << c.line;
    EXPECT_THAT(parsed.prompt.error().error.message, HasSubstr(c.named)) << c.line;
  }
}

TEST(ParsePromptLine, IdsKeepTheirSpelling) {
  for (const std::string id : {"12345678901234567890123", "-0", "1.10", "1E5", "1e999", "null", "true",
                               "\"\\ud800\"", "\"\"", "{\"a\": [1, {\"id\": 2}]}", "[]"}) {
    const auto parsed = parse_prompt_line("{\"id\": " + id + " , \"prompt\": \"a\"}");
    EXPECT_EQ(parsed.id, id);
    EXPECT_TRUE(parsed.prompt) << id;
  }
  EXPECT_EQ(parse_prompt_line(R"({"document": {"id": 1}, "i\u0064": 2})").id, "2");
  EXPECT_EQ(parse_prompt_line(R"({"id": 1, "id": 2})").id, "2");
}

TEST(ParsePromptLine, FaultsHaveAPlaceAndTheIdIsKnown) {
  const auto broken = parse_prompt_line(R"({"id": 7, "prompt": oops})");
  EXPECT_EQ(broken.id, "7");
  EXPECT_GE(broken.prompt.error().byte, 20U);
  EXPECT_LE(broken.prompt.error().byte, 22U);
  EXPECT_EQ(parse_prompt_line(R"({"id": 7, "prompt": 3})").prompt.error().byte, 20U);
  EXPECT_EQ(parse_prompt_line(R"({"messages": [{"role": "user", "content": "a"}, 5]})").prompt.error().byte,
            48U);
}

TEST(ParsePromptLine, MessagesAreTakenAsTheyStand) {
  const std::string messages =
      R"([{"role": "assistant", "tool_calls": [{"arguments": 123456789012345678901}]}])";
  const auto parsed = parse_prompt_line("{\"messages\": " + messages + "}");
  ASSERT_TRUE(parsed.prompt) << parsed.prompt.error().error.message;
  EXPECT_EQ(parsed.prompt->messages, messages);
}

TEST(ParsePromptLine, DepthIsNoDanger) {
  const std::string deep(1'000'000, '[');
  EXPECT_FALSE(parse_prompt_line("{\"id\": 1, \"prompt\": " + deep).prompt);
}

}  // namespace
}  // namespace lazyfill::cli
