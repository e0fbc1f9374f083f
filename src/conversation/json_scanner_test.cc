#include "conversation/json_scanner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <random>

namespace lazyfill {
namespace {

using testing::ElementsAre;
using State = JsonScanner::State;

// The state after the text, and how much of it was looked at.
std::pair<State, size_t> scan(std::string_view text) {
  JsonScanner scanner;
  for (size_t i = 0; i < text.size(); ++i) {
    const State state = scanner.push(text[i]);
    if (state != State::kMore) return {state, i + 1};
  }
  return {State::kMore, text.size()};
}

TEST(JsonScanner, FindsTheEnd) {
  for (const std::string text :
       {"{}", "[]", "[[], {}]", R"({"a": 1})",
        R"({"a":"}\"]","b":[1,-2.5e3,true,false,null,"\u00e9\\"],"c":{}})", "[ 1 ,\n2\t,\r3 ]"}) {
    EXPECT_EQ(scan(text), std::pair(State::kDone, text.size())) << text;
    EXPECT_EQ(scan(text + " more"), std::pair(State::kDone, text.size())) << text;
  }
}

TEST(JsonScanner, SeesAtOnceWhatCannotBe) {
  struct Case {
    const char* text;
    size_t at;  // the character that cannot stand there
  };
  for (const Case& one :
       std::vector<Case>{{"x", 0},        {"\"a\"", 0},      {" {}", 0},   {"{a", 1},      {"{\"a\" 1", 5},
                         {"{\"a\":,", 5}, {"{\"a\":1,}", 7}, {"[1,]", 3},  {"[1 2", 3},    {"[}", 1},
                         {"{]", 1},       {"[1}", 2},        {"[tru]", 4}, {"[01]", 3},    {"[\"a\nb", 3},
                         {"[\"\\x", 3},   {"[\"\\u12g", 6},  {"{,", 1},    {"{\"a\"}", 4}, {"[<", 1}}) {
    EXPECT_EQ(scan(one.text), std::pair(State::kBroken, one.at + 1)) << one.text;
  }
}

// It agrees with a parser about texts of few characters, all of which JSON knows.
TEST(JsonScanner, AgreesWithAParser) {
  std::mt19937 random(1);
  const std::vector<std::string> words = {"{",  "}", "[", "]",    ",", ":",  "\"a\"",
                                          "\"", "1", "-", "null", " ", "\\", "e"};
  size_t n_whole = 0;
  for (int round = 0; round < 200000; ++round) {
    std::string text = random() % 2 == 0 ? "{" : "[";
    for (size_t n = random() % 9; n > 0; --n) text += words[random() % words.size()];
    const auto [state, n] = scan(text);
    const bool is_whole = nlohmann::json::accept(text);
    if (is_whole && text.back() != ' ') {
      ASSERT_EQ(state, State::kDone) << text;
    }
    if (state == State::kDone) {
      ASSERT_TRUE(nlohmann::json::accept(text.substr(0, n))) << text;
      ++n_whole;
    }
  }
  EXPECT_GT(n_whole, 5000U);
}

TEST(JsonScanner, TakesDepthAsItComes) {
  EXPECT_EQ(scan(std::string(1000000, '[')).first, State::kMore);
  EXPECT_EQ(scan(std::string(1000000, '[') + std::string(1000000, ']')).first, State::kDone);
}

TEST(JsonParts, MembersAndElementsAreAsTheyAreWritten) {
  std::vector<std::string> members;
  for (const JsonMember& member :
       json_members(R"( { "a" : 1 , "b\"":"x,]}" ,"c":{"d":[1,{}]},"e":[], "f":null} )"))
    members.push_back(std::string(member.key) + "=" + std::string(member.value));
  EXPECT_THAT(members, ElementsAre("a=1", "b\\\"=\"x,]}\"", "c={\"d\":[1,{}]}", "e=[]", "f=null"));
  EXPECT_THAT(json_elements(R"([1, "a,b",{"x":[2]} , [ ] ])"),
              ElementsAre("1", "\"a,b\"", "{\"x\":[2]}", "[ ]"));
  EXPECT_TRUE(json_members("{ }").empty());
  EXPECT_TRUE(json_elements("[\n]").empty());
}

}  // namespace
}  // namespace lazyfill
