#include "decoding/gbnf.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lazyfill {
namespace {

using ::testing::HasSubstr;

std::string some_tokens(std::string_view name) {
  return name == "call" || name == "[7]" ? "\xFF" + std::string(name) + "\xFE" : std::string();
}

bool fits(std::string_view grammar, std::string_view text) {
  Terms terms;
  const auto made = parse_gbnf(terms, grammar, some_tokens);
  EXPECT_TRUE(made) << made.error().message;
  if (!made) return false;
  return terms.nullable(terms.after(made->start, text));
}

std::string error_of(std::string_view grammar) {
  Terms terms;
  const auto made = parse_gbnf(terms, grammar, some_tokens);
  return made ? "" : made.error().message;
}

constexpr char kArithmetic[] = R"gbnf(# sums of products
root  ::= expr "\n"?
expr  ::= term (
    [-+] term   # in brackets, lines do not matter
  )*
term  ::= factor ("*" factor)*
factor ::= [0-9]+ | "(" expr ")"
  | "-" factor
)gbnf";

TEST(Gbnf, RulesMayNameThemselves) {
  EXPECT_TRUE(fits(kArithmetic, "1+2*(3-4)"));
  EXPECT_TRUE(fits(kArithmetic, "-(((7)))\n"));
  EXPECT_FALSE(fits(kArithmetic, "1+"));
  EXPECT_FALSE(fits(kArithmetic, "((1)"));
}

TEST(Gbnf, CountsClassesAndEscapes) {
  EXPECT_TRUE(fits("root ::= \"\\x41\\u00e9\" [^a-c\\]]{2,3} .", "A\u00E9xyz"));
  EXPECT_FALSE(fits("root ::= [^a-c\\]]", "]"));
  EXPECT_TRUE(fits("root ::= x{3}\nx ::= \"a\" | \"b\"", "aba"));
  EXPECT_TRUE(fits("root ::= \"a\"{,2} \"b\"{1,}", "abb"));
  EXPECT_TRUE(fits("root ::= \"a\" |", ""));
}

TEST(Gbnf, MistakesAreToldInOneSentence) {
  EXPECT_THAT(error_of("start ::= \"a\""), HasSubstr("no rule \"root\""));
  EXPECT_THAT(error_of("root ::= \"a\"\n  b"), HasSubstr("line 2"));
  EXPECT_THAT(error_of("root ::= other"), HasSubstr("there is no rule \"other\""));
  EXPECT_THAT(error_of("root ::= \"a\nb\""), HasSubstr("a text has no end"));
  EXPECT_THAT(error_of("root ::= \"a\"\nroot ::= \"b\""), HasSubstr("twice"));
  EXPECT_THAT(error_of("root ::= (\"a\""), HasSubstr("a group has no )"));
  EXPECT_THAT(error_of("root ::= [b-a]"), HasSubstr("ends before it begins"));
  EXPECT_THAT(error_of("root ::= \"a\"{1,1000000000}"), HasSubstr("too large"));
  EXPECT_THAT(error_of("root ::= <[12]>"), HasSubstr("there is no token \"<[12]>\""));
  EXPECT_THAT(error_of("root ::= !<call>"), HasSubstr("not this token"));
  EXPECT_THAT(error_of("root ::= <call"), HasSubstr("has no >"));
  EXPECT_THAT(error_of("root ::= %json"), HasSubstr("a schema in braces"));
  EXPECT_THAT(error_of("root ::= %json {\"type\": \"text\"}"), HasSubstr("line 1: the schema's keyword"));
  EXPECT_THAT(
      error_of(R"(root ::= %json {"$ref": "#/$defs/a", "$defs": {"a": {"anyOf": [{"$ref": "#/$defs/a"}]}}})"),
      HasSubstr("in a circle"));
  EXPECT_THAT(error_of("root ::= \"\\q\""), HasSubstr("not known"));
}

TEST(Gbnf, TokensAndSchemasStandAmongTexts) {
  EXPECT_TRUE(fits("root ::= \"a\" <call> \"b\" | <[7]>",
                   "a\xFF"
                   "call\xFE"
                   "b"));
  EXPECT_FALSE(fits("root ::= \"a\" <call> \"b\" | <[7]>", "acallb"));
  EXPECT_FALSE(fits("root ::= .*",
                    "\xFF"
                    "call\xFE"))
      << "no character";
  const char* listed =
      R"(root ::= ("x=" %json {"type": "object", "properties": {"}": {"enum": ["}"]}}, "required": ["}"],
         "additionalProperties": false} ";")+ other?
other ::= %json {"type": "integer", "minimum": 3})";
  EXPECT_TRUE(fits(listed, R"(x={"}": "}"};x={"}":"}"};4)"));
  EXPECT_FALSE(fits(listed, R"(x={"}": "{"};)"));
  EXPECT_FALSE(fits(listed, R"(x={"}": "}"};2)"));
  Terms terms;
  const auto made = parse_gbnf(terms, listed);
  ASSERT_TRUE(made);
  EXPECT_EQ(made->json_marks, (std::vector<std::string>{"x=", ""}));
}

TEST(Gbnf, LeftRecursionAndCyclesAreToldByTheirRule) {
  EXPECT_THAT(error_of("root ::= e\ne ::= e \"+\" \"1\" | \"1\""), HasSubstr("\"e\" begins with itself"));
  EXPECT_THAT(error_of("root ::= a\na ::= \"x\"? b\nb ::= a \"y\" | \"z\""), HasSubstr("left recursion"));
  EXPECT_THAT(error_of("root ::= root"), HasSubstr("left recursion"));
  EXPECT_THAT(error_of("root ::= \"a\" | b\nb ::= \"x\" b"), HasSubstr("\"b\" never ends"));
  EXPECT_THAT(error_of("root ::= " + std::string(300, '(')), HasSubstr("deeper"));
}

}  // namespace
}  // namespace lazyfill
