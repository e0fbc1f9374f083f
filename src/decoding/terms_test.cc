#include "decoding/terms.h"

#include <gtest/gtest.h>

namespace lazyfill {
namespace {

bool matches(Terms& terms, Term term, std::string_view text) {
  return terms.nullable(terms.after(term, text));
}

TEST(Terms, EqualTermsAreOneNumber) {
  Terms terms;
  const Term a = terms.literal("a");
  const Term b = terms.literal("b");
  EXPECT_EQ(terms.alt({a, b}), terms.alt({b, a, b}));
  EXPECT_EQ(terms.alt({a, b}), terms.bytes('a', 'b'));
  EXPECT_EQ(terms.cat(terms.cat(a, b), a), terms.cat(a, terms.cat(b, a)));
  EXPECT_EQ(terms.cat(a, kNothing), kNothing);
  EXPECT_EQ(terms.no(terms.no(a)), a);
}

TEST(Terms, CountedRepeatsCount) {
  Terms terms;
  const Term term = terms.repeat(terms.literal("ab"), 2, 3);
  EXPECT_FALSE(matches(terms, term, "ab"));
  EXPECT_TRUE(matches(terms, term, "abab"));
  EXPECT_TRUE(matches(terms, term, "ababab"));
  EXPECT_EQ(terms.after(term, "abababa"), kNothing);
  // Of what may be empty, too few are enough.
  EXPECT_TRUE(matches(terms, terms.repeat(terms.optional(terms.literal("x")), 5, 6), "xx"));
}

TEST(Terms, BothAndNot) {
  Terms terms;
  const Term letters = terms.repeat(terms.bytes('a', 'z'), 0, kUnbounded);
  const Term term = terms.both({letters, terms.no(terms.literal("cat"))});
  EXPECT_TRUE(matches(terms, term, "car"));
  EXPECT_TRUE(matches(terms, term, "cats"));
  EXPECT_FALSE(matches(terms, term, "cat"));
  EXPECT_EQ(terms.after(term, "c4"), kNothing);
  EXPECT_FALSE(terms.alive(terms.both({letters, terms.no(letters)})));
  EXPECT_FALSE(terms.alive(terms.cat(terms.literal("x"), terms.both({letters, terms.literal("1")}))));
}

TEST(Terms, RulesThatNameThemselvesKeepAStack) {
  Terms terms;
  const Term rule = terms.rule();
  terms.define(rule, terms.cat({terms.literal("("), terms.optional(rule), terms.literal(")")}));
  terms.close();
  EXPECT_EQ(terms.left_recursive_rule(), kNothing);
  EXPECT_TRUE(matches(terms, rule, "((()))"));
  EXPECT_FALSE(matches(terms, rule, "((())"));
  EXPECT_EQ(terms.after(rule, "())"), kNothing);
  EXPECT_EQ(terms.bound(rule), 2U);
  EXPECT_EQ(terms.bound(terms.after(rule, "(((")), 3U);
}

TEST(Terms, LeftRecursionAndRulesWithoutAnEndAreFound) {
  Terms terms;
  const Term a = terms.rule();
  const Term b = terms.rule();
  const Term endless = terms.rule();
  terms.define(a, terms.cat(terms.optional(terms.literal("x")), b));
  terms.define(b, terms.alt({terms.cat(a, terms.literal("y")), terms.literal("z")}));
  terms.define(endless, terms.cat(terms.literal("x"), endless));
  terms.close();
  const Term found = terms.left_recursive_rule();
  EXPECT_TRUE(found == a || found == b);
  EXPECT_EQ(terms.bound(endless), kUnbounded);
  EXPECT_FALSE(terms.alive(endless));
}

TEST(Terms, AStackHasABound) {
  Terms terms;
  const Term rule = terms.rule();
  terms.define(rule, terms.cat({terms.literal("("), terms.optional(rule), terms.literal(")")}));
  terms.close();
  terms.limit_growth(100, 100, 10000);
  EXPECT_NE(terms.after(rule, std::string(90, '(')), kNothing);
  EXPECT_EQ(terms.after(rule, std::string(200, '(')), kNothing);
}

TEST(Terms, CountsInsideOfCountsStaySmall) {
  Terms terms;
  Term term = terms.literal("a");
  for (int i = 0; i < 4; ++i) term = terms.repeat(term, 0, 50);
  terms.close();
  const size_t before = terms.size();
  EXPECT_TRUE(matches(terms, term, std::string(3000, 'a')));
  EXPECT_LT(terms.size() - before, 50000U);
}

TEST(Terms, ShortMatchesComeFirst) {
  Terms terms;
  const Term term = terms.cat(terms.repeat(terms.bytes('a', 'b'), 0, kUnbounded), terms.literal("!"));
  const auto found = terms.matches(term, 4, 100);
  ASSERT_EQ(found.size(), 4U);
  EXPECT_EQ(found[0], "!");
  EXPECT_EQ(found[1].size(), 2U);
  EXPECT_EQ(found[3].size(), 3U);
}

}  // namespace
}  // namespace lazyfill
