#include "cli/explain_page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace lazyfill::cli {
namespace {

using testing::HasSubstr;
using testing::Not;

Explanation small_explanation() {
  Explanation explanation;
  explanation.model.n_layers = 6;
  explanation.model.name = "tiny";
  explanation.pieces = {"a", "\xF0\x9F", "\x99\x82", "d"};
  explanation.lazy.lazy_used = true;
  explanation.lazy.lazy = {.schedule = {{.layer = 1, .keep = 0.5}}, .kept = {{2, 3}}};
  return explanation;
}

nlohmann::json parsed(const Explanation& explanation) {
  return nlohmann::json::parse(explain_json(explanation));
}

TEST(ExplainJson, GroupsTokensToWholeCharacters) {
  const auto json = parsed(small_explanation());
  EXPECT_EQ(json["text"], (std::vector<std::string>{"a", "\xF0\x9F\x99\x82", "d"}));
  EXPECT_EQ(json["tokens"], (std::vector<int>{1, 2, 1}));
  EXPECT_EQ(json["survived"], (std::vector<int>{0, 1, 1}));
  EXPECT_EQ(json["stages"].dump(), R"([{"kept":2,"layer":1}])");
  EXPECT_EQ(json["prompt_tokens"], 4);
}

TEST(ExplainPage, TextOfStrangersCannotLeaveItsPlace) {
  const std::string attack = "</script><script>alert(1)</script><!-- &amp; %LAZYFILL_DATA% \u2028";
  Explanation explanation = small_explanation();
  explanation.pieces.assign(1, attack);
  explanation.lazy.lazy.kept = {{0}};
  explanation.dense.text = attack;
  explanation.lazy.text = attack;
  explanation.model.name = attack;
  const std::string page = explain_page(explanation);
  EXPECT_THAT(page, Not(HasSubstr("alert(1)</script>")));
  EXPECT_THAT(explain_json(explanation), Not(HasSubstr("<")));
  EXPECT_THAT(explain_json(explanation), Not(HasSubstr("\u2028")));
  EXPECT_EQ(parsed(explanation)["text"][0], attack);
  EXPECT_EQ(parsed(explanation)["model"]["name"], attack);
}

TEST(ExplainPage, NeedsNothingFromElsewhere) {
  const std::string page = explain_page(small_explanation());
  EXPECT_THAT(page, Not(HasSubstr("src=")));
  EXPECT_THAT(page, Not(HasSubstr("href=")));
  EXPECT_THAT(page, Not(HasSubstr("innerHTML")));
  EXPECT_THAT(page, HasSubstr("default-src 'none'"));
}

TEST(ExplainColours, ShowsEveryCharacterAndNoForeignEscape) {
  Explanation explanation = small_explanation();
  explanation.pieces[3] = "\033[2J";
  const std::string shown = explain_colours(explanation);
  EXPECT_THAT(shown, HasSubstr("\xF0\x9F\x99\x82"));
  EXPECT_THAT(shown, Not(HasSubstr("\033[2J")));
}

}  // namespace
}  // namespace lazyfill::cli
