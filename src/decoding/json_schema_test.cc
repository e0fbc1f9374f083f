#include "decoding/json_schema.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "decoding/key_tracker.h"

namespace lazyfill {
namespace {

using ::testing::HasSubstr;

// Whether the schema takes the text, and with what the guide checks beside it.
bool takes(const std::string& schema, std::string_view text) {
  Terms terms;
  const auto made = parse_json_schema(terms, schema);
  EXPECT_TRUE(made) << schema << ": " << made.error().message;
  if (!made) return false;
  terms.close();
  KeyTracker keys(made->unique_items);
  return keys.push(text) && terms.nullable(terms.after(made->start, text));
}

std::string error_of(const std::string& schema) {
  Terms terms;
  const auto made = parse_json_schema(terms, schema);
  return made ? "" : made.error().message;
}

constexpr char kPerson[] =
    R"({"type": "object", "required": ["name", "age"], "additionalProperties": false, "properties":
  {"name": {"type": "string", "minLength": 1}, "age": {"type": "integer", "minimum": 0, "maximum": 150},
   "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "maxItems": 2}}})";

TEST(JsonSchema, ObjectsHaveTheirMembersInAnyOrder) {
  EXPECT_TRUE(takes(kPerson, R"({"name": "Ann", "age": 7})"));
  EXPECT_TRUE(takes(kPerson, R"({"age":150,"tags":["b"],"name":"\"x\u00e9"})"));
  EXPECT_TRUE(takes(kPerson, "{\n  \"name\": \"Ann\",\n  \"age\": 7\n}"));
  for (const char* text :
       {R"({"name": "Ann"})", R"({"name": "", "age": 7})", R"({"name": "Ann", "age": 151})",
        R"({"name": "Ann", "age": 7, "x": 1})", R"({"name": "Ann", "age": 7, "tags": ["c"]})",
        R"({"name": "Ann", "age": 7, "tags": ["a","b","a"]})", R"({"name": "Ann", "age": 7,})",
        R"({"name": "Ann", "age": 7, "age": 8})", R"({"name": "Ann", "age": 07})"})
    EXPECT_FALSE(takes(kPerson, text)) << text;
}

// Every number of a grid against every limit, as texts.
// An answer is kept from ways that it could not end in time, by a bound that must not be above the shortest
// text.
TEST(JsonSchema, TheBoundIsNoLongerThanTheShortestText) {
  const std::pair<const char*, const char*> cases[] = {
      {R"({"type":"object","required":["a"],"properties":{"a":{"type":"integer"}},"additionalProperties":false})",
       R"({"a":0})"},
      {R"({"type":"object","minProperties":2})", R"({"":0,"a":0})"},
      {R"({"type":"object"})", "{}"},
      {R"({"type":"array","minItems":1})", "[0]"},
      {R"({"type":"array","minItems":3})", "[0,0,0]"},
      {R"({"type":"array"})", "[]"},
  };
  for (const auto& [schema, shortest] : cases) {
    Terms terms;
    const auto made = parse_json_schema(terms, schema);
    ASSERT_TRUE(made) << schema;
    terms.close();
    EXPECT_TRUE(terms.nullable(terms.after(made->start, shortest))) << schema;
    EXPECT_LE(terms.bound(made->start), std::string_view(shortest).size()) << schema;
  }
}

TEST(JsonSchema, LimitsOfNumbersAreExact) {
  const std::vector<double> values = {-120, -100, -10.5, -10, -1,   -0.25, 0,  0.05,   0.5,
                                      1,    1.5,  2,     9,   9.75, 10,    99, 100.125};
  for (const double limit : values) {
    for (const char* key : {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}) {
      const std::string name = key;
      const std::string schema = nlohmann::json({{name, limit}}).dump();
      Terms terms;
      const auto made = parse_json_schema(terms, schema);
      ASSERT_TRUE(made);
      terms.close();
      for (const double value : values) {
        const std::string text = value == std::floor(value) ? std::to_string(static_cast<int>(value))
                                                            : nlohmann::json(value).dump();
        const bool fits = name == "minimum"            ? value >= limit
                          : name == "maximum"          ? value <= limit
                          : name == "exclusiveMinimum" ? value > limit
                                                       : value < limit;
        EXPECT_EQ(terms.nullable(terms.after(made->start, text)), fits) << text << ", " << schema;
      }
    }
  }
}

TEST(JsonSchema, MultiplesAreExact) {
  for (const char* multiple : {"1", "3", "7", "0.5", "0.01", "2.5", "1.5"}) {
    const long scaled = std::lround(std::stod(multiple) * 100);
    const std::string schema = std::string(R"({"multipleOf": )") + multiple + "}";
    Terms terms;
    const auto made = parse_json_schema(terms, schema);
    ASSERT_TRUE(made) << made.error().message;
    terms.close();
    for (long hundredths = -2100; hundredths <= 2100; hundredths += 5) {
      std::string text = nlohmann::json(static_cast<double>(hundredths) / 100).dump();
      if (text.ends_with(".0")) text.resize(text.size() - 2);
      if (text == "-0") continue;
      EXPECT_EQ(terms.nullable(terms.after(made->start, text)), hundredths % scaled == 0)
          << text << ", " << schema;
    }
  }
}

TEST(JsonSchema, StringsHaveLengthsPatternsAndFormats) {
  EXPECT_TRUE(takes(R"({"type": "string", "minLength": 2, "maxLength": 3})", R"("\n\u00e9")"));
  EXPECT_FALSE(takes(R"({"type": "string", "maxLength": 1})", R"("ab")"));
  EXPECT_TRUE(takes(R"({"type": "string", "pattern": "b+", "maxLength": 4})", R"("abbc")"));
  EXPECT_FALSE(takes(R"({"type": "string", "pattern": "^b+$"})", R"("abb")"));
  EXPECT_TRUE(takes(R"({"type": "string", "pattern": "^\"$"})", R"("\"")"));
  EXPECT_TRUE(takes(R"({"type": "string", "format": "date"})", R"("2024-02-29")"));
  EXPECT_FALSE(takes(R"({"type": "string", "format": "date"})", R"("2023-02-29")"));
  EXPECT_FALSE(takes(R"({"type": "string", "format": "ipv4"})", R"("1.2.3.256")"));
  EXPECT_TRUE(takes(R"({"type": "string", "format": "uuid"})", R"("2eb8aa08-aa98-11ea-b4aa-73b441d16380")"));
}

TEST(JsonSchema, SchemasCombine) {
  EXPECT_TRUE(takes(R"({"anyOf": [{"type": "integer"}, {"type": "string"}]})", "12"));
  EXPECT_FALSE(takes(R"({"anyOf": [{"type": "integer"}, {"type": "string"}]})", "1.5"));
  const char* one_of = R"({"oneOf": [{"type": "integer"}, {"minimum": 2}]})";
  EXPECT_TRUE(takes(one_of, "1"));
  EXPECT_TRUE(takes(one_of, "2.5"));
  EXPECT_FALSE(takes(one_of, "3"));
  const char* forbidden = R"({"not": {"required": ["a", "b"]}, "type": "object"})";
  EXPECT_TRUE(takes(forbidden, R"({"a": 1})"));
  EXPECT_FALSE(takes(forbidden, R"({"b": 1, "a": 1})"));
  const char* conditional = R"({"if": {"properties": {"kind": {"const": "x"}}, "required": ["kind"]},
                                "then": {"required": ["x"]}, "else": {"required": ["y"]}})";
  EXPECT_TRUE(takes(conditional, R"({"kind": "x", "x": 1})"));
  EXPECT_FALSE(takes(conditional, R"({"kind": "x", "y": 1})"));
  EXPECT_TRUE(takes(conditional, R"({"y": 1})"));
  EXPECT_FALSE(takes(conditional, R"({})"));
  EXPECT_FALSE(takes(R"({"not": {"const": 1}})", "1.0")) << "the same number in another spelling";
  EXPECT_FALSE(takes(R"({"not": {"type": "integer"}})", "1.0"));
  EXPECT_FALSE(
      takes(R"({"allOf": [{"properties": {"a": {"minimum": 2}}}, {"properties": {"a": {"maximum": 3}}}]})",
            R"({"a": 4})"));
}

TEST(JsonSchema, ReferencesMayComeBackToThemselves) {
  const char* list =
      R"({"$ref": "#/$defs/node", "$defs": {"node": {"type": "object", "additionalProperties": false,
    "required": ["value"], "properties": {"value": {"type": "integer"}, "next": {"$ref": "#/$defs/node"}}}}})";
  EXPECT_TRUE(takes(list, R"({"value": 1, "next": {"next": {"value": 3}, "value": 2}})"));
  EXPECT_FALSE(takes(list, R"({"value": 1, "next": {"next": {"value": 3}}})"));
  EXPECT_TRUE(takes(R"({"$anchor": "top", "items": {"$ref": "#top"}, "type": "array"})", "[[], [[]]]"));
  EXPECT_TRUE(takes(R"({"$ref": "#"})", "1")) << "says nothing, and comes to no end of saying it";
}

TEST(JsonSchema, ArraysCountAndContain) {
  const char* tuple =
      R"({"prefixItems": [{"type": "integer"}, {"type": "string"}], "items": false, "minItems": 1, "type": "array"})";
  EXPECT_TRUE(takes(tuple, R"([1, "x"])"));
  EXPECT_TRUE(takes(tuple, "[1]"));
  EXPECT_FALSE(takes(tuple, "[]"));
  EXPECT_FALSE(takes(tuple, R"([1, "x", 2])"));
  const char* contains =
      R"({"contains": {"minimum": 5}, "minContains": 1, "maxContains": 2, "type": "array"})";
  EXPECT_TRUE(takes(contains, "[1, 6, 2]"));
  EXPECT_FALSE(takes(contains, "[1, 2]"));
  EXPECT_FALSE(takes(contains, "[6, 7, 8]"));
  EXPECT_FALSE(takes(R"({"uniqueItems": true})", R"([{"a": 1, "b": 2}, {"b": 2, "a": 1}])"));
  EXPECT_TRUE(takes(R"({"uniqueItems": true})", R"([1, true, "1"])"));
}

TEST(JsonSchema, WhatIsNotSupportedIsRefusedByName) {
  EXPECT_THAT(error_of(R"({"$dynamicRef": "#x"})"), HasSubstr("\"$dynamicRef\" is not supported"));
  EXPECT_THAT(error_of(R"({"allOf": [{}], "unevaluatedProperties": false})"),
              HasSubstr("\"unevaluatedProperties\""));
  EXPECT_THAT(error_of(R"({"type": "string", "format": "colour"})"),
              HasSubstr("\"format\" is not supported with \"colour\""));
  EXPECT_THAT(error_of(R"({"items": [{}]})"), HasSubstr("\"prefixItems\""));
  EXPECT_THAT(error_of(R"json({"pattern": "(?=a)"})json"), HasSubstr("look-aheads"));
  EXPECT_THAT(error_of(R"({"$ref": "http://example.com/x.json"})"), HasSubstr("leads out of it"));
  EXPECT_THAT(error_of(R"({"$ref": "#/$defs/none"})"), HasSubstr("leads nowhere"));
  EXPECT_THAT(error_of(R"({"type": "strnig"})"), HasSubstr("\"type\" must be"));
  EXPECT_THAT(error_of(R"({"minLength": -1})"), HasSubstr("\"minLength\" must be a whole number"));
  EXPECT_THAT(error_of(R"({"multipleOf": 0})"), HasSubstr("\"multipleOf\""));
  EXPECT_THAT(error_of("{"), HasSubstr("no JSON"));
  EXPECT_THAT(error_of("3"), HasSubstr("a schema is a JSON object"));
  EXPECT_THAT(error_of(R"({"items":)" + std::string(80, '[') + std::string(80, ']') + "}"),
              HasSubstr("deeper"));
}

// Combinations that would make more schemas than anybody could go through.
TEST(JsonSchema, SchemasThatAreTooLargeAreRefused) {
  nlohmann::json schema = nlohmann::json::object();
  for (int i = 0; i < 20; ++i) {
    const std::string a = "a" + std::to_string(i);
    schema["allOf"].push_back(
        {{"anyOf",
          {{{"required", nlohmann::json::array({a})}}, {{"required", nlohmann::json::array({a + "b"})}}}}});
  }
  EXPECT_THAT(error_of(schema.dump()), HasSubstr("too large"));
}

TEST(KeyTracker, KeysInEverySpellingAndAtEveryDepth) {
  EXPECT_TRUE(KeyTracker().push(R"({"a": {"a": 1}, "b": ["a", {"a": 2}]})"));
  EXPECT_FALSE(KeyTracker().push(R"({"a": 1, "a")"));
  EXPECT_FALSE(KeyTracker().push("{\"\u00e9\": 1, \"\\u00e9\""));
  KeyTracker in_parts;
  EXPECT_TRUE(in_parts.push(R"({"ab)"));
  KeyTracker copy = in_parts;
  EXPECT_TRUE(in_parts.push(R"(c": 1, "ab")"));
  EXPECT_TRUE(copy.push(R"(": 1, "abc": 2})"));
  EXPECT_FALSE(KeyTracker(true).push(R"([[1, 2], [1,2]])"));
  EXPECT_TRUE(KeyTracker(false).push(R"([[1, 2], [1,2]])"));
}

}  // namespace
}  // namespace lazyfill
