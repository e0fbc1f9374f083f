#include "conversation/answer_parser.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <numeric>
#include <ostream>

#include "conversation/parse_answer.h"

namespace lazyfill {

std::ostream& operator<<(std::ostream& out, const ParsedAnswer& answer) {
  out << "content [" << answer.content << "] reasoning [" << answer.reasoning << "] order " << answer.order;
  for (const auto& call : answer.calls) out << " call " << call.name << " [" << call.arguments << "]";
  return out;
}

namespace {

AnswerSyntax syntax_of(ToolSyntax tools) {
  return {.tools = tools, .thought_begin = "<think>", .thought_end = "</think>"};
}

// Whole, character by character, and in three pieces however they are cut.
void expect_parts(const AnswerSyntax& syntax, const std::string& text, const ParsedAnswer& expected) {
  EXPECT_EQ(parse_answer(syntax, text), expected) << text;
  std::vector<size_t> all(text.size());
  std::iota(all.begin(), all.end(), size_t{0});
  EXPECT_EQ(parse_answer(syntax, text, all), expected) << text << ", each character alone";
  for (size_t a = 0; a <= text.size(); ++a) {
    for (size_t b = a; b <= text.size(); ++b) {
      const size_t cuts[] = {a, b};
      ASSERT_EQ(parse_answer(syntax, text, cuts), expected) << text << ", cut at " << a << " and " << b;
    }
  }
  for (const auto& call : expected.calls) {
    EXPECT_TRUE(nlohmann::json::accept(call.arguments));
    EXPECT_EQ(call.arguments.front(), '{');
  }
}

ParsedAnswer said(const std::string& content) {
  return {content, "", {}, content.empty() ? "" : "c"};
}

struct Case {
  const char* text;
  ParsedAnswer expected;
};

void expect_all(ToolSyntax tools, const std::vector<Case>& cases) {
  for (const Case& one : cases) expect_parts(syntax_of(tools), one.text, one.expected);
}

void expect_content(ToolSyntax tools, const std::vector<const char*>& texts) {
  for (const char* text : texts) expect_parts(syntax_of(tools), text, said(text));
}

TEST(AnswerParser, ThoughtsComeBeforeWhatIsSaid) {
  expect_all(ToolSyntax::kNone, {{"Hello", said("Hello")},
                                 {"", said("")},
                                 {" \n", said(" \n")},
                                 {"\n Hello \n", said("\n Hello \n")},
                                 {"<think>\nSix.\n\nYes.\n</think>\n\n42", {"42", "Six.\n\nYes.", {}, "rc"}},
                                 {"\n<think> Six </think>42\n", {"42\n", " Six", {}, "rc"}},
                                 {"<think>\n\n</think>\n\n  42", {"  42", "", {}, "c"}},
                                 {"<think>\n\n</think>\n\n", said("")},
                                 {"<think>Six, cut </thin", {"", "Six, cut </thin", {}, "r"}},
                                 {"<think>a</think><think>b</think>", {"<think>b</think>", "a", {}, "rc"}},
                                 {"Not <think>at</think> first", said("Not <think>at</think> first")},
                                 {"a </think> b", said("a </think> b")},
                                 {"<thin", said("<thin")},
                                 {"<tool_call>{}</tool_call>", said("<tool_call>{}</tool_call>")}});
}

TEST(AnswerParser, AThoughtMayHaveBegunInThePrompt) {
  AnswerSyntax syntax = syntax_of(ToolSyntax::kHermes);
  syntax.begins_in_thought = true;
  expect_parts(syntax, "\nSix.\n</think>\n\n42", {"42", "Six.", {}, "rc"});
  expect_parts(syntax, "Six", {"", "Six", {}, "r"});
  expect_parts(syntax,
               "<tool_call>{\"name\":\"f\"}</tool_call></think>\n<tool_call>{\"name\":\"f\"}</tool_call>",
               {"", "<tool_call>{\"name\":\"f\"}</tool_call>", {{"f", "{}"}}, "rta"});
  syntax.thought_begin = syntax.thought_end = "";
  expect_parts(syntax, "a</think>", said("a</think>"));
}

TEST(AnswerParser, Hermes) {
  expect_all(
      ToolSyntax::kHermes,
      {{"<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": [1, \"}\"]}}\n</tool_call>",
        {"", "", {{"f", "{\"a\": [1, \"}\"]}"}}, "ta"}},
       {"Both.\n<tool_call>{\"name\":\"f\",\"arguments\":{}}</"
        "tool_call>\n<tool_call>{\"arguments\":null,\"name\":\"g\"}"
        "</tool_call>\n",
        {"Both.", "", {{"f", "{}"}, {"g", "{}"}}, "ctata"}},
       {"<think>Hm</think>\n<tool_call>{\"name\":\"f\"}</tool_call>\nDone\n",
        {"Done\n", "Hm", {{"f", "{}"}}, "rtac"}},
       // Arguments as a string are unwrapped; what is said in a string is no end.
       {"<tool_call>{\"name\":\"f\",\"arguments\":\"{\\\"a\\\":1}\"}</tool_call>",
        {"", "", {{"f", "{\"a\":1}"}}, "ta"}},
       {"<tool_call>{\"name\":\"f\",\"arguments\":{\"a\":\"</tool_call>\"}}</tool_call>",
        {"", "", {{"f", "{\"a\":\"</tool_call>\"}"}}, "ta"}},
       {"<tool_call>[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":{}}}]</tool_call>",
        {"", "", {{"f", "{}"}}, "ta"}},
       // Without an end, and with the other form's inside.
       {"<tool_call>{\"name\":\"f\",\"parameters\":{}}", {"", "", {{"f", "{}"}}, "ta"}},
       {"<tool_call>{\"name\":\"f\"}\n<tool_call>{\"name\":\"g\"}</tool_",
        {"", "", {{"f", "{}"}, {"g", "{}"}}, "tata"}},
       {"<tool_call>\n<function=f>\n<parameter=a>\n1\n</parameter>\n</function>\n</tool_call>",
        {"", "", {{"f", "{\"a\": 1}"}}, "ta"}},
       // One that is broken, and one that is not.
       {"<tool_call>{\"name\": oops <tool_call>{\"name\":\"f\"}</tool_call>",
        {"<tool_call>{\"name\": oops", "", {{"f", "{}"}}, "cta"}}});
}

TEST(AnswerParser, WhatOnlyLooksLikeACallIsContentToTheLetter) {
  expect_content(
      ToolSyntax::kHermes,
      {"<tool_call>", "<tool_cal", "a < b <tool_calls> <tool_call", "<tool_call>\n{\"name\": \"f\", \"argu",
       "<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": 1}</tool_call>\n", "<tool_call> {} </tool_call>",
       "<tool_call>{\"name\": 1}</tool_call> ", "<tool_call>{\"name\": \"\"}</tool_call>",
       "<tool_call>{\"name\":\"f\",\"arguments\":[1]}</tool_call>",
       "<tool_call>{\"name\":\"f\",\"arguments\":\"{\"}</tool_call>", "<tool_call>[]</tool_call>",
       "<tool_call>[{\"name\":\"f\"}, 1]</tool_call>", "<tool_call>f()</tool_call>\n\n"});
  expect_content(
      ToolSyntax::kQwenCoder,
      {"<tool_call>", "<function", "<function=>", "<function=f", "<function=f<", "<function=f>x",
       "<tool_call>\n<function=f>\n<parameter=a>\n1\n", "<function=f><parameter=a>1</parameter> </funct",
       "<function=f><parameter=a>1</parameter>"});
  expect_content(
      ToolSyntax::kLlama3,
      {"{", "{}", "{\"name\": \"f\"}", "{\"a\": 1, \"name\": \"f\", \"parameters\": {}}",
       "{\"name\": \"f\", \"parameters\": {}} is it", "{\"name\": \"f\", \"parameters\": {}}; {\"x\": 1}",
       "{\"name\": \"f\", \"parameters\": {", "It is {\"name\": \"f\", \"parameters\": {}}", "<|python_tag|>",
       "<|python_tag|>import os\nos.getcwd()", "<|python_tag|>f.call(a=1)", "<|python_tag|>f.call(a=\"1\"",
       "<|python_tag|>{\"x\": 1}", "{\"a:b\": 1}"});
  expect_content(
      ToolSyntax::kMistral,
      {"[TOOL_CALLS]", "[TOOL_", "[TOOL_CALLS] []", "[TOOL_CALLS][{\"name\": \"f\"}", "[TOOL_CALLS]f",
       "[TOOL_CALLS]f[ARGS]", "[TOOL_CALLS]f[ARGS]{\"a\"", "[TOOL_CALLS]f[ARGS][]", "[TOOL_CALLS]f g[ARGS]{}",
       "[TOOL_CALLS]f[OTHER]{}", "[TOOL_CALLS]f[CALL_ID]a b[ARGS]{}", "[TOOL_CALLS][ARGS]{}", "[1, 2] [T]"});
}

TEST(AnswerParser, QwenCoder) {
  expect_all(ToolSyntax::kQwenCoder,
             {{"I "
               "look.\n\n<tool_call>\n<function=f>\n<parameter=a>\n1\n</parameter>\n<parameter=b>\nx\ny\n</"
               "parameter>\n"
               "</function>\n</tool_call>\n",
               {"I look.", "", {{"f", "{\"a\": 1, \"b\": \"x\\ny\"}"}}, "cta"}},
              {"<function=f></function>", {"", "", {{"f", "{}"}}, "ta"}},
              {"<function=f>\n</function>\n</tool_call>\nDone", {"Done", "", {{"f", "{}"}}, "tac"}},
              {"<tool_call><function=f></function><function=g></function></tool_call>",
               {"", "", {{"f", "{}"}, {"g", "{}"}}, "tata"}},
              {"<tool_call>{\"name\":\"f\"}</tool_call>", {"", "", {{"f", "{}"}}, "ta"}},
              // A value may hold what looks like its end.
              {"<function=f><parameter=a>x</parameter>y</parameter></parameter></function>",
               {"", "", {{"f", "{\"a\": \"x</parameter>y</parameter>\"}"}}, "ta"}},
              {"<function=f><parameter=a>1</parameter><parameter=a>2</parameter></function>",
               {"", "", {{"f", "{\"a\": 2}"}}, "ta"}}});
}

// Without quotation marks only the schema tells a text from a number.
TEST(AnswerParser, ValuesOfQwenCoderAreWhatTheToolsSay) {
  AnswerSyntax syntax = syntax_of(ToolSyntax::kQwenCoder);
  const auto arguments = [&](const std::string& value) {
    const auto answer =
        parse_answer(syntax, "<function=f><parameter=a>\n" + value + "\n</parameter></function>");
    return answer.calls.empty() ? "" : answer.calls[0].arguments;
  };
  const std::vector<std::pair<const char*, const char*>> by_looks = {
      {"12", "12"},           {"true", "true"},
      {"False", "false"},     {"None", "null"},
      {"[1, {}]", "[1, {}]"}, {"1x", "\"1x\""},
      {"", "\"\""},           {"\"q\"", "\"q\""},
      {"\n x", "\"\\n x\""},  {"{\"a\"", "\"{\\\"a\\\"\""}};
  for (const auto& [value, json] : by_looks)
    EXPECT_EQ(arguments(value), "{\"a\": " + std::string(json) + "}");
  for (const char* schema : {R"({"type":"string"})", R"({"type":["string","null"]})",
                             R"({"anyOf":[{"type":"integer"},{"type":"string"}]})"}) {
    syntax.tools_json = R"([{"type":"function","function":{"name":"f","parameters":{"properties":{"a":)" +
                        std::string(schema) + "}}}}]";
    EXPECT_EQ(arguments("12"), "{\"a\": \"12\"}") << schema;
    EXPECT_EQ(arguments("\"q\""), "{\"a\": \"\\\"q\\\"\"}") << schema;
  }
  for (const char* tools :
       {"", "{", "[1, {}]",
        R"([{"function":{"name":"f","parameters":{"properties":{"a":{"type":"integer"}}}}}])",
        R"([{"function":{"name":"g","parameters":{"properties":{"a":{"type":"string"}}}}}])"}) {
    syntax.tools_json = tools;
    EXPECT_EQ(arguments("12"), "{\"a\": 12}") << tools;
  }
}

TEST(AnswerParser, Llama3) {
  expect_all(
      ToolSyntax::kLlama3,
      {{"{\"name\": \"f\", \"parameters\": {\"a\": \"x;\"}}", {"", "", {{"f", "{\"a\": \"x;\"}"}}, "ta"}},
       {"\n{\"type\":\"function\",\"name\":\"f\",\"parameters\":{}}\n", {"", "", {{"f", "{}"}}, "ta"}},
       {"{\"name\":\"f\",\"parameters\":{}}; {\"name\":\"g\",\"arguments\":{}};",
        {"", "", {{"f", "{}"}, {"g", "{}"}}, "tata"}},
       {"<|python_tag|>{\"name\":\"f\",\"parameters\":{}}", {"", "", {{"f", "{}"}}, "ta"}},
       {"Well: <|python_tag|>{\"name\":\"f\"};{\"name\":\"g\"} So.",
        {"Well: So.", "", {{"f", "{}"}, {"g", "{}"}}, "ctatac"}},
       {"<|python_tag|>f.call(q=\"it's \"this\"\", n=\"1\")",
        {"", "", {{"f", "{\"q\": \"it's \\\"this\\\"\", \"n\": \"1\"}"}}, "ta"}},
       {"<|python_tag|>f.call()", {"", "", {{"f", "{}"}}, "ta"}}});
}

TEST(AnswerParser, Mistral) {
  expect_all(ToolSyntax::kMistral, {{"[TOOL_CALLS] [{\"name\": \"f\", \"arguments\": {\"a\": 1}, \"id\": "
                                     "\"123456789\"}, {\"name\": \"g\"}]",
                                     {"", "", {{"f", "{\"a\": 1}"}, {"g", "{}"}}, "tata"}},
                                    {"[TOOL_CALLS]{\"name\":\"f\"}", {"", "", {{"f", "{}"}}, "ta"}},
                                    {"Hm. [TOOL_CALLS]f[ARGS]{\"a\": [\"]\"]}[TOOL_CALLS]g[ARGS]{}",
                                     {"Hm.", "", {{"f", "{\"a\": [\"]\"]}"}, {"g", "{}"}}, "ctata"}},
                                    {"[TOOL_CALLS]f[CALL_ID]a1[ARGS]{}", {"", "", {{"f", "{}"}}, "ta"}},
                                    {"[TOOL_CALLS]f{}", {"", "", {{"f", "{}"}}, "ta"}}});
}

// What is held back is only what may be markup yet.
TEST(AnswerParser, TextIsGivenAsItComes) {
  AnswerParser parser(syntax_of(ToolSyntax::kHermes));
  const auto text_of = [](const std::vector<AnswerPart>& parts) {
    std::string text;
    for (const AnswerPart& part : parts) text += part.text;
    return text;
  };
  EXPECT_EQ(text_of(parser.push("Six ")), "Six");
  EXPECT_EQ(text_of(parser.push("< seven <tool")), " < seven");
  EXPECT_EQ(text_of(parser.push("box>")), " <toolbox>");
  AnswerParser json(syntax_of(ToolSyntax::kLlama3));
  EXPECT_EQ(text_of(json.push("{\"na")), "");
  EXPECT_EQ(text_of(json.push("tion\": [1")), "{\"nation\": [1");
  AnswerParser thinking(syntax_of(ToolSyntax::kNone));
  EXPECT_EQ(text_of(thinking.push("<think>Well")), "Well");
}

// Texts that make a careless parser look at the same bytes again and again: twice the text, twice the work.
TEST(AnswerParser, IsLinear) {
  struct Hostile {
    ToolSyntax tools;
    std::string once, repeated;
  };
  const std::vector<Hostile> texts = {{ToolSyntax::kHermes, "", "<tool_call>{\"a\":\""},
                                      {ToolSyntax::kHermes, "<tool_call>{", "\":\":\"<tool_call>{\","},
                                      {ToolSyntax::kHermes, "<tool_call>", " "},
                                      {ToolSyntax::kHermes, "", "\n"},
                                      {ToolSyntax::kHermes, "<tool_call>", "["},
                                      {ToolSyntax::kQwenCoder, "", "<tool_call><function=f><parameter=a>"},
                                      {ToolSyntax::kQwenCoder, "<function=f><parameter=a>", "</parameter> "},
                                      {ToolSyntax::kLlama3, "", "<|python_tag|>f.call("},
                                      {ToolSyntax::kLlama3, "<|python_tag|>f.call(a=\"", "\", a=\""},
                                      {ToolSyntax::kMistral, "", "[TOOL_CALLS][\""},
                                      {ToolSyntax::kMistral, "", "[TOOL_CALLS]f[ARGS]{\""}};
  for (const Hostile& hostile : texts) {
    std::string text = hostile.once;
    while (text.size() < 2'000'000) text += hostile.repeated;
    AnswerParser parser(syntax_of(hostile.tools));
    size_t n_bytes = 0;
    const auto count = [&](const std::vector<AnswerPart>& parts) {
      for (const AnswerPart& part : parts) n_bytes += part.text.size();
    };
    // In pieces of seven bytes: what was quadratic would take minutes.
    for (size_t at = 0; at < text.size(); at += 7) count(parser.push(std::string_view(text).substr(at, 7)));
    count(parser.finish());
    EXPECT_GT(n_bytes, 0U) << hostile.repeated;
  }
}

}  // namespace
}  // namespace lazyfill
