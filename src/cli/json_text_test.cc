#include "cli/json_text.h"

#include <gtest/gtest.h>

namespace lazyfill::cli {
namespace {

std::vector<std::string> parts_of(const std::string& text) {
  std::vector<std::string> parts;
  for (const JsonSpan& span : json_spans(text))
    parts.push_back(span.name + "=" + text.substr(span.begin, span.end - span.begin));
  return parts;
}

using Parts = std::vector<std::string>;

TEST(JsonText, LinesAndColumnsCountCharacters) {
  const std::string text = "a\n\xC3\xA9x\n";
  const auto place = [&text](size_t byte) { return position_text(position_of(text, byte)); };
  EXPECT_EQ(place(0), "line 1, column 1");
  EXPECT_EQ(place(1), "line 1, column 2");
  EXPECT_EQ(place(2), "line 2, column 1");
  EXPECT_EQ(place(4), "line 2, column 2");
  EXPECT_EQ(place(6), "line 3, column 1");
  EXPECT_EQ(place(1000), "line 3, column 1");
}

TEST(JsonText, MembersComeAsTheyAreWritten) {
  EXPECT_EQ(parts_of(R"( {"id" : 1.10 ,"a":[1, {"b": "}"}], "\u0069d":"\"" } )"),
            (Parts{"id=1.10", R"(a=[1, {"b": "}"}])", R"(id="\"")"}));
  EXPECT_EQ(parts_of(R"([ 1e999, -0, {} ,[],true,null])"),
            (Parts{"=1e999", "=-0", "={}", "=[]", "=true", "=null"}));
  EXPECT_EQ(parts_of(R"({"a\":": 1})"), (Parts{R"(a":=1)"}));
  EXPECT_EQ(parts_of("{}"), Parts{});
  EXPECT_EQ(parts_of("7"), Parts{});
  EXPECT_EQ(parts_of(""), Parts{});
}

TEST(JsonText, MembersBeforeAFaultAreFound) {
  for (const char* rest :
       {"oops", "[1,]", "[1", R"({"c"})", R"("\x")", R"("\u12g4")", "\"\n\"", "-", "1.", "1e", "nul", "}"})
    EXPECT_EQ(parts_of(std::string(R"({"id": 5, "b": )") + rest), Parts{"id=5"}) << rest;
}

TEST(JsonText, DepthNeedsNoStack) {
  const std::string deep = std::string(1'000'000, '[') + std::string(1'000'000, ']');
  const std::string text = "{\"a\": " + deep + ", \"id\": 1}";
  const std::vector<JsonSpan> spans = json_spans(text);
  ASSERT_EQ(spans.size(), 2U);
  EXPECT_EQ(spans[0].end - spans[0].begin, deep.size());
  EXPECT_EQ(spans[1].name, "id");
}

TEST(JsonText, AFaultHasItsPlaceAndReason) {
  const auto fault = parse_json("{\"a\": oops}");
  ASSERT_FALSE(fault);
  EXPECT_EQ(fault.error().byte, 6U);
  EXPECT_EQ(fault.error().reason, "invalid literal");
  const auto sentence = parse_json("[1,\n 2", "the list");
  ASSERT_FALSE(sentence);
  EXPECT_EQ(sentence.error().message.find("the list is no JSON at line 2, column 3: "), 0U)
      << sentence.error().message;
  EXPECT_FALSE(parse_json("1e999"));
  EXPECT_FALSE(parse_json("\"\xFF\""));
  EXPECT_TRUE(parse_json(" [1] "));
}

}  // namespace
}  // namespace lazyfill::cli
