#include "conversation/call_grammar.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <random>

#include "conversation/parse_answer.h"
#include "decoding/gbnf.h"

namespace lazyfill {
namespace {

using Json = nlohmann::json;
using Need = CallRules::Need;

constexpr char kPlace[] =
    R"({"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1}},
        "required": ["city"], "additionalProperties": false})";
constexpr char kUnit[] =
    R"({"type": "object", "properties": {"unit": {"type": "string", "enum": ["C", "F"]}}, "required": ["unit"],
        "additionalProperties": false})";
constexpr ToolSyntax kFamilies[] = {ToolSyntax::kHermes, ToolSyntax::kQwenCoder, ToolSyntax::kLlama3,
                                    ToolSyntax::kMistral};

AnswerSyntax syntax_of(ToolSyntax tools, bool thinks = false) {
  AnswerSyntax syntax{.tools = tools};
  if (thinks) {
    syntax.thought_begin = "<think>";
    syntax.thought_end = "</think>";
  }
  syntax.tools_json = std::string(R"([{"type": "function", "function": {"name": "weather", "parameters": )") +
                      kPlace + R"(}}, {"type": "function", "function": {"name": "set_unit", "parameters": )" +
                      kUnit + "}}]";
  return syntax;
}

CallRules rules_of(Need need) {
  return {.need = need, .tools = {{"weather", kPlace}, {"set_unit", kUnit}}};
}

// A text's place in the grammar's language.
class Walk {
 public:
  Walk(
      const AnswerSyntax& syntax, const CallRules& rules, const ControlIds& ids = [](auto) { return -1; }) {
    const std::string text = call_grammar(syntax, rules, ids);
    const auto grammar =
        parse_gbnf(terms_, text, [](std::string_view name) { return std::string("\xFF").append(name); });
    EXPECT_TRUE(grammar) << grammar.error().message << "\n" << text;
    if (grammar) made_ = *grammar;
    terms_.limit_growth(1000, 200, 400'000);
  }
  bool fits(std::string_view text) { return terms_.nullable(terms_.after(made_.start, text)); }
  bool may_begin(std::string_view text) { return terms_.alive(terms_.after(made_.start, text)); }

  // A text that random steps lead to, and then the shortest way to an end.
  std::string random_text(std::mt19937& random, size_t n_steps) {
    Term term = made_.start;
    std::string text;
    for (size_t i = 0; i < n_steps; ++i) {
      std::vector<std::pair<char, Term>> ways;
      for (const TermStep& step : terms_.row(term)) {
        for (const unsigned byte : {unsigned{step.first}, unsigned{step.last}})
          if (byte >= 0x20 && byte < 0x7F && terms_.alive(step.target))
            ways.emplace_back(static_cast<char>(byte), step.target);
      }
      if (ways.empty()) break;
      const auto& [c, target] = ways[random() % ways.size()];
      text += c;
      term = target;
    }
    const auto ends = terms_.matches(term, 1, 100'000);
    EXPECT_FALSE(ends.empty()) << text;
    return ends.empty() ? text : text + ends[0];
  }

 private:
  Terms terms_;
  Grammar made_;
};

void expect_good_calls(const ParsedAnswer& answer, const std::string& text) {
  for (const auto& call : answer.calls) {
    const Json arguments = Json::parse(call.arguments, nullptr, false);
    ASSERT_TRUE(arguments.is_object()) << text;
    if (call.name == "weather") {
      EXPECT_TRUE(arguments.contains("city") && arguments["city"].is_string()) << text;
      if (arguments.contains("days")) {
        EXPECT_GE(arguments["days"].get<double>(), 1) << text;
      }
    } else {
      EXPECT_EQ(call.name, "set_unit") << text;
      EXPECT_TRUE(arguments["unit"] == "C" || arguments["unit"] == "F") << text;
    }
  }
}

TEST(CallGrammar, WhatItAllowsIsReadAsCallsThatFitTheirSchemas) {
  std::mt19937 random(7);
  for (const ToolSyntax family : kFamilies) {
    for (const bool alone : {false, true}) {
      for (const bool thinks : {false, true}) {
        AnswerSyntax syntax = syntax_of(family, thinks);
        syntax.names_stand_alone = alone;
        Walk must(syntax, rules_of(Need::kMustCall));
        Walk may(syntax, rules_of(Need::kMayCall));
        Walk none(syntax, rules_of(Need::kNoCall));
        for (size_t i = 0; i < 60; ++i) {
          const std::string text = must.random_text(random, i * 4);
          const ParsedAnswer answer = parse_answer(syntax, text);
          EXPECT_FALSE(answer.calls.empty()) << text;
          EXPECT_EQ(answer.content, "") << text;
          expect_good_calls(answer, text);
          const std::string other = may.random_text(random, i * 4);
          expect_good_calls(parse_answer(syntax, other), other);
          const std::string said = none.random_text(random, i * 4);
          if (family != ToolSyntax::kLlama3) {  // there, what is said without a call is not looked at for one
            EXPECT_TRUE(parse_answer(syntax, said).calls.empty()) << said;
          }
        }
      }
    }
  }
}

TEST(CallGrammar, EachFamilyWritesCallsInItsForm) {
  Walk hermes(syntax_of(ToolSyntax::kHermes), rules_of(Need::kMustCall));
  const std::string call =
      "<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Rome\"}}\n</tool_call>";
  EXPECT_TRUE(hermes.fits(call));
  EXPECT_TRUE(hermes.fits(call + "\n" + call));
  EXPECT_FALSE(hermes.may_begin("Well"));
  EXPECT_FALSE(hermes.may_begin("<tool_call>\n{\"name\": \"time\""));
  EXPECT_FALSE(hermes.may_begin("<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"town\""));
  Walk llama(syntax_of(ToolSyntax::kLlama3), rules_of(Need::kMustCall));
  const std::string bare = "{\"name\": \"set_unit\", \"parameters\": {\"unit\": \"C\"}}";
  EXPECT_TRUE(llama.fits(bare));
  EXPECT_TRUE(llama.fits(bare + "; " + bare));
  Walk mistral(syntax_of(ToolSyntax::kMistral), rules_of(Need::kMustCall));
  EXPECT_TRUE(mistral.fits("[TOOL_CALLS] [{\"name\": \"set_unit\", \"arguments\": {\"unit\": \"C\"}}]"));
  AnswerSyntax newer = syntax_of(ToolSyntax::kMistral);
  newer.names_stand_alone = true;
  Walk alone(newer, rules_of(Need::kMustCall));
  EXPECT_TRUE(alone.fits("[TOOL_CALLS]weather[ARGS]{\"city\":\"Rome\"}"));
  Walk coder(syntax_of(ToolSyntax::kQwenCoder), rules_of(Need::kMustCall));
  EXPECT_TRUE(
      coder.fits("<tool_call>\n<function=weather>\n<parameter=city>\nRome <1>\n</parameter>\n"
                 "<parameter=days>\n3\n</parameter>\n</function>\n</tool_call>"));
  EXPECT_FALSE(coder.may_begin("<tool_call>\n<function=weather>\n<parameter=days>\n"));
}

TEST(CallGrammar, OneCallIsOneCall) {
  for (const ToolSyntax family : kFamilies) {
    CallRules rules = rules_of(Need::kMustCall);
    rules.tools.resize(1);
    rules.has_one_call = true;
    Walk one(syntax_of(family), rules);
    std::mt19937 random(3);
    for (size_t i = 0; i < 40; ++i) {
      const std::string text = one.random_text(random, i * 6);
      const ParsedAnswer answer = parse_answer(syntax_of(family), text);
      ASSERT_EQ(answer.calls.size(), 1U) << text;
      EXPECT_EQ(answer.calls[0].name, "weather");
    }
  }
}

TEST(CallGrammar, WithoutCallsTheirMarksCannotBeSaid) {
  Walk hermes(syntax_of(ToolSyntax::kHermes), rules_of(Need::kNoCall));
  EXPECT_TRUE(hermes.fits("Use <tool_cal or <tool_<tool_ as you like."));
  EXPECT_FALSE(hermes.may_begin("Well, <tool_<tool_call>"));
  Walk llama(syntax_of(ToolSyntax::kLlama3), rules_of(Need::kMayCall));
  EXPECT_TRUE(llama.fits(" \nIt is {\"a\": 1}."));
  EXPECT_TRUE(llama.fits(""));
  EXPECT_FALSE(llama.may_begin("\n{\"a\""));
  Walk plain(syntax_of(ToolSyntax::kNone), rules_of(Need::kNoCall));
  EXPECT_TRUE(plain.fits("anything <tool_call>"));
}

TEST(CallGrammar, ControlTokensStandForMarks) {
  const auto ids = [](std::string_view name) { return name == "[TOOL_CALLS]" ? 7 : -1; };
  Walk mistral(syntax_of(ToolSyntax::kMistral), rules_of(Need::kMayCall), ids);
  EXPECT_TRUE(mistral.fits("Well.\xFF[7][{\"name\": \"set_unit\", \"arguments\": {\"unit\": \"C\"}}]"));
  EXPECT_FALSE(mistral.may_begin("Well.[TOOL_CALLS]"));
}

TEST(CallGrammar, ThoughtsStandInFront) {
  AnswerSyntax syntax = syntax_of(ToolSyntax::kHermes, true);
  const std::string call =
      "<tool_call>\n{\"name\": \"set_unit\", \"arguments\": {\"unit\": \"C\"}}\n</tool_call>";
  Walk may(syntax, rules_of(Need::kMustCall));
  EXPECT_TRUE(may.fits(call));
  EXPECT_TRUE(may.fits("<think>\nI <tool_call> it.</think>\n\n" + call));
  syntax.has_thought = true;
  Walk after(syntax, rules_of(Need::kMustCall));
  EXPECT_FALSE(after.may_begin("<think>")) << "the prompt has one";
  EXPECT_TRUE(after.fits(call));
  syntax.has_thought = false;
  syntax.begins_in_thought = true;
  CallRules rules = rules_of(Need::kMustCall);
  Walk inside(syntax, rules);
  EXPECT_FALSE(inside.fits(call)) << "the thought has no end";
  EXPECT_TRUE(inside.fits("\nWell.\n</think>\n" + call));
  rules.need = Need::kNoCall;
  rules.content_schema = R"({"type": "integer"})";
  Walk form(syntax, rules);
  EXPECT_TRUE(form.fits("Let me see: 12.\n</think>\n\n12"));
  EXPECT_FALSE(form.fits("12"));
  rules.need = Need::kMayCall;
  Walk either(syntax, rules);
  EXPECT_TRUE(either.fits("</think>12"));
  EXPECT_TRUE(either.fits("</think>" + call));
}

TEST(CallGrammar, NamesAndTextsAreEscaped) {
  CallRules rules{.need = Need::kMustCall,
                  .tools = {{"a\"b\\c\n<d>", R"({"type": "object", "additionalProperties": false})"}}};
  Walk odd(syntax_of(ToolSyntax::kHermes), rules);
  EXPECT_TRUE(odd.fits("<tool_call>\n{\"name\": \"a\\\"b\\\\c\\n<d>\", \"arguments\": {}}\n</tool_call>"));
}

TEST(CallGrammar, WhatATextCannotBeHeldToIsNamed) {
  const auto keyword = [](const char* property) {
    return unkept_keyword(ToolSyntax::kQwenCoder,
                          R"({"type": "object", "properties": {"x": )" + std::string(property) + "}}");
  };
  EXPECT_EQ(keyword(R"({"type": "string", "pattern": "a+"})"), "pattern");
  EXPECT_EQ(keyword(R"({"type": "string", "enum": ["a"], "description": "b"})"), "");
  EXPECT_EQ(keyword(R"({"type": "integer", "minimum": 2})"), "");
  EXPECT_EQ(unkept_keyword(ToolSyntax::kQwenCoder, R"({"anyOf": []})"), "anyOf");
  EXPECT_EQ(unkept_keyword(ToolSyntax::kHermes, R"({"anyOf": []})"), "");
}

}  // namespace
}  // namespace lazyfill
