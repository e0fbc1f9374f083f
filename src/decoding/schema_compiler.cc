#include "decoding/schema_compiler.h"

#include <algorithm>

#include "base/quoted.h"
#include "decoding/regex.h"

namespace lazyfill {
namespace {

using Json = nlohmann::json;

constexpr size_t kMostCompiled = 4000;
constexpr size_t kMostDepth = 200;
constexpr size_t kMostUponOne = 500;

const std::set<std::string> kTypes = {"null", "boolean", "number", "integer", "string", "array", "object"};

std::set<std::string> types_of(const Json& schema) {
  std::set<std::string> types;
  const auto type = schema.find("type");
  if (type == schema.end()) return kTypes;
  if (type->is_string()) types.insert(type->get<std::string>());
  if (type->is_array()) {
    for (const Json& one : *type) types.insert(one.get<std::string>());
  }
  if (types.count("number") > 0) types.insert("integer");
  return types;
}

// Whether it has a word that is no note and no way to other schemas.
bool says_something(const Json& schema) {
  static const std::set<std::string> kSilent = {
      "title",       "description",      "default",         "examples",     "deprecated", "readOnly",
      "writeOnly",   "$comment",         "$schema",         "$id",          "$anchor",    "$defs",
      "definitions", "contentMediaType", "contentEncoding", "contentSchema"};
  for (const auto& [key, value] : schema.items()) {
    if (kSilent.count(key) == 0) return true;
  }
  return false;
}

tl::unexpected<Error> unsupported(const std::string& key, const std::string& why) {
  return fail(ErrorCode::kUnsupported,
              "the schema's keyword " + lazyfill::quoted(key) + " is not supported" + why);
}

}  // namespace

std::string type_name(const Json& value) {
  if (value.is_null()) return "null";
  if (value.is_boolean()) return "boolean";
  if (value.is_string()) return "string";
  if (value.is_array()) return "array";
  if (value.is_object()) return "object";
  if (value.is_number_integer()) return "integer";
  const auto decimal = Decimal::read(value);
  return decimal && decimal->fraction.empty() ? "integer" : "number";
}

SchemaCompiler::SchemaCompiler(Terms& terms, std::unique_ptr<SchemaDocument> document)
    : terms_(terms), document_(std::move(document)), texts_(terms) {}

Result<Term> SchemaCompiler::compile_root(bool closes) {
  auto start = value({&document_->root()}, Side::kUnder);
  if (!start || !closes) return start;
  terms_.close();
  if (terms_.left_recursive_rule() != kNothing)
    return fail(ErrorCode::kInvalidArgument, "the schema's references lead round in a circle");
  return start;
}

const Json* SchemaCompiler::find(const Json& schema, const char* keyword) {
  if (!schema.is_object()) return nullptr;
  const auto found = schema.find(keyword);
  return found == schema.end() ? nullptr : &*found;
}

// Each set of schemas is a rule, so that it can come to itself again deeper in a value.
Result<Term> SchemaCompiler::value(Conjunction schemas, Side side) {
  Flattened found;
  for (const Json* schema : schemas) {
    if (auto done = flatten(*schema, found, side); !done) return tl::unexpected(done.error());
  }
  if (found.impossible) return kNothing;
  const Conjunction& flat = found.schemas;
  const auto key = std::make_pair(flat, side);
  if (const auto known = made_.find(key); known != made_.end()) return known->second;
  if (++n_compiled_ > kMostCompiled || depth_ > kMostDepth || terms_.overflowed())
    return fail(ErrorCode::kInvalidArgument,
                "the schema is too large, or its combinations of schemas are too many");
  const Term rule = terms_.rule();
  made_[key] = rule;
  ++depth_;
  auto body = compile(flat, side);
  --depth_;
  if (!body) return body;
  if (*body == kNothing) made_[key] = kNothing;
  terms_.define(rule, *body);
  return *body == kNothing ? kNothing : rule;
}

Result<void> SchemaCompiler::flatten(const Json& schema, Flattened& out, Side side) {
  if (schema.is_boolean()) {
    out.impossible = out.impossible || !schema.get<bool>();
    return {};
  }
  if (!schema.is_object())
    return fail(ErrorCode::kInvalidArgument,
                "the schema holds a " + type_name(schema) + " where a schema must be");
  if (!out.visited.insert(&schema).second) return {};
  if (out.visited.size() > kMostUponOne)
    return fail(ErrorCode::kInvalidArgument, "the schema puts too many schemas upon one value");
  if (auto checked = check_keywords(schema, side); !checked) return checked;
  const Json* all = find(schema, "allOf");
  const Json* reference = find(schema, "$ref");
  // What they lead to is there by itself from now on, and must not come back when it is taken apart.
  const Json& own = all == nullptr && reference == nullptr ? schema : without(schema, {});
  if (says_something(own)) out.schemas.insert(&own);
  for (size_t i = 0; all != nullptr && i < all->size(); ++i) {
    if (auto done = flatten((*all)[i], out, side); !done) return done;
  }
  if (reference == nullptr) return {};
  auto target = document_->follow(schema, reference->get<std::string>());
  if (!target) return tl::unexpected(target.error());
  return flatten(**target, out, side);
}

Result<void> SchemaCompiler::check_keywords(const Json& schema, Side side) const {
  for (const auto& [key, value] : schema.items()) {
    if (auto checked = check_keyword(schema, key, value, side); !checked) return checked;
  }
  return {};
}

Result<void> SchemaCompiler::check_keyword(const Json& schema, const std::string& key, const Json& value,
                                           Side side) const {
  const auto is_one_of = [&](std::initializer_list<const char*> keys) {
    return std::find(keys.begin(), keys.end(), key) != keys.end();
  };
  const auto must = [&](bool is, const char* what) -> Result<void> {
    if (is) return {};
    return fail(ErrorCode::kInvalidArgument,
                "the schema's keyword " + lazyfill::quoted(key) + " must be " + what);
  };
  const auto strings = [](const Json& list) {
    return list.is_array() &&
           std::all_of(list.begin(), list.end(), [](const Json& one) { return one.is_string(); });
  };
  if (is_one_of({"minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties",
                 "minContains", "maxContains"})) {
    const bool whole = value.is_number() && value.get<double>() >= 0 && value.get<double>() < 1e9 &&
                       value.get<double>() == static_cast<double>(value.get<uint64_t>());
    if (auto checked = must(whole, "a whole number from 0 to 999999999"); !checked) return checked;
    const bool is_least = key.starts_with("min");
    if (is_least && value.get<double>() > 100'000) return unsupported(key, " above 100000");
    return {};
  }
  if (is_one_of({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"})) {
    if (auto checked = must(value.is_number(), "a number"); !checked) return checked;
    if (side == Side::kUnder && !Decimal::read(value)) return unsupported(key, " with a number of that size");
    return {};
  }
  if (is_one_of({"anyOf", "oneOf", "allOf", "prefixItems"}))
    return must(value.is_array() && !value.empty(), "a list of schemas");
  if (is_one_of({"properties", "patternProperties", "dependentSchemas", "dependentRequired", "$defs",
                 "definitions"}))
    return must(value.is_object(), "an object");
  if (is_one_of({"required"})) return must(strings(value), "a list of texts");
  if (is_one_of({"enum"})) return must(value.is_array(), "a list");
  if (is_one_of({"pattern", "format", "$ref", "$id", "$anchor"})) return must(value.is_string(), "a text");
  if (is_one_of({"type"})) {
    const auto known = [](const Json& one) {
      return one.is_string() && kTypes.count(one.get<std::string>()) > 0;
    };
    return must(known(value) || (value.is_array() && std::all_of(value.begin(), value.end(), known)),
                "null, boolean, number, integer, string, array or object, or a list of these");
  }
  if (is_one_of(
          {"items", "contains", "additionalProperties", "propertyNames", "not", "if", "then", "else"})) {
    if (key == "items" && value.is_array()) return unsupported(key, " as a list; use \"prefixItems\"");
    return must(value.is_object() || value.is_boolean(), "a schema");
  }
  if (side == Side::kOver) return {};  // what is left out here only makes it larger
  if (is_one_of({"unevaluatedItems", "unevaluatedProperties"})) {
    // Beside nothing that evaluates elsewhere they are "items" and "additionalProperties".
    for (const char* other :
         {"allOf", "anyOf", "oneOf", "if", "not", "$ref", "dependentSchemas", "contains"}) {
      if (schema.contains(other)) return unsupported(key, std::string(" beside \"") + other + "\"");
    }
    return must(value.is_object() || value.is_boolean(), "a schema");
  }
  if (is_one_of({"$dynamicRef", "$recursiveRef", "dependencies", "additionalItems", "extends", "disallow"}))
    return unsupported(key, "");
  return {};
}

const Json& SchemaCompiler::without(const Json& schema, const std::vector<std::string>& keywords) {
  const Json*& copy = copies_[{&schema, keywords}];
  if (copy == nullptr) {
    Json made = schema;
    // What the copy brings along by these is in the conjunction already.
    for (const char* key : {"allOf", "$ref", "$id"}) made.erase(key);
    for (const std::string& key : keywords) made.erase(key);
    copy = &document_->add(std::move(made), schema);
  }
  return *copy;
}

Conjunction SchemaCompiler::with(Conjunction schemas, const Json* remove,
                                 std::initializer_list<const Json*> add) {
  schemas.erase(remove);
  for (const Json* one : add) schemas.insert(one);
  return schemas;
}

Result<Term> SchemaCompiler::compile(const Conjunction& schemas, Side side) {
  constexpr std::pair<const char*, Branch> kBranches[] = {{"not", &SchemaCompiler::not_that},
                                                          {"anyOf", &SchemaCompiler::any_of},
                                                          {"oneOf", &SchemaCompiler::one_of},
                                                          {"if", &SchemaCompiler::if_then_else},
                                                          {"dependentSchemas", &SchemaCompiler::dependent}};
  for (const auto& [keyword, branch] : kBranches) {
    for (const Json* schema : schemas) {
      if (find(*schema, keyword) != nullptr) return (this->*branch)(schemas, *schema, side);
    }
  }
  return by_types(schemas, side);
}

Result<Term> SchemaCompiler::alternatives(const std::vector<Conjunction>& ways, Side side) {
  std::vector<Term> terms;
  for (const Conjunction& way : ways) {
    auto term = value(way, side);
    if (!term) return term;
    terms.push_back(*term);
  }
  return terms_.alt(std::move(terms));
}

Result<Term> SchemaCompiler::any_of(const Conjunction& schemas, const Json& schema, Side side) {
  const Json& rest = without(schema, {"anyOf"});
  std::vector<Conjunction> ways;
  for (const Json& branch : schema.at("anyOf")) ways.push_back(with(schemas, &schema, {&rest, &branch}));
  return alternatives(ways, side);
}

// Whether no value fits both, as far as types and constants tell.
bool SchemaCompiler::are_apart(const Json& a, const Json& b) {
  if (a == false || b == false) return true;
  if (!a.is_object() || !b.is_object()) return false;
  const std::set<std::string> types = types_of(a);
  const std::set<std::string> others = types_of(b);
  if (std::none_of(types.begin(), types.end(), [&](const auto& type) { return others.count(type) > 0; }))
    return true;
  const auto values = [](const Json& schema) {
    if (const Json* constant = find(schema, "const")) return Json::array({*constant});
    const Json* list = find(schema, "enum");
    return list == nullptr ? Json() : *list;
  };
  const Json mine = values(a);
  const Json yours = values(b);
  if (mine.is_array() && yours.is_array()) {
    return std::none_of(mine.begin(), mine.end(), [&](const Json& one) {
      return std::find(yours.begin(), yours.end(), one) != yours.end();
    });
  }
  // Objects with a member that both must have, and that is apart.
  if (types.size() > 1 || types.count("object") == 0) return false;
  const Json* properties = find(a, "properties");
  const Json* other_properties = find(b, "properties");
  const Json* required = find(a, "required");
  const Json* other_required = find(b, "required");
  if (!properties || !other_properties || !required || !other_required) return false;
  for (const Json& name : *required) {
    const auto key = name.get<std::string>();
    const bool both =
        std::find(other_required->begin(), other_required->end(), name) != other_required->end() &&
        properties->contains(key) && other_properties->contains(key);
    if (both && are_apart(properties->at(key), other_properties->at(key))) return true;
  }
  return false;
}

Result<Term> SchemaCompiler::one_of(const Conjunction& schemas, const Json& schema, Side side) {
  const Json& rest = without(schema, {"oneOf"});
  const Json& branches = schema.at("oneOf");
  std::vector<Term> terms;
  for (size_t i = 0; i < branches.size(); ++i) {
    auto way = value(with(schemas, &schema, {&rest, &branches[i]}), side);
    if (!way) return way;
    std::vector<Term> parts{*way};
    for (size_t j = 0; j < branches.size(); ++j) {
      if (j == i || *way == kNothing || are_apart(branches[i], branches[j])) continue;
      auto not_other = value({&branches[j]}, other(side));
      if (!not_other) return not_other;
      parts.push_back(terms_.no(*not_other));
    }
    terms.push_back(terms_.both(std::move(parts)));
  }
  return terms_.alt(std::move(terms));
}

Result<Term> SchemaCompiler::if_then_else(const Conjunction& schemas, const Json& schema, Side side) {
  static const Json kTrue = true;
  const Json& rest = without(schema, {"if", "then", "else"});
  const auto branch = [&](const char* name) { return schema.contains(name) ? &schema.at(name) : &kTrue; };
  const Json& condition = schema.at("if");
  if (!schema.contains("then") && !schema.contains("else"))
    return value(with(schemas, &schema, {&rest}), side);
  auto fits = value(with(schemas, &schema, {&rest, &condition, branch("then")}), side);
  auto otherwise = value(with(schemas, &schema, {&rest, branch("else")}), side);
  if (!fits) return fits;
  if (!otherwise) return otherwise;
  auto condition_term = value({&condition}, other(side));
  if (!condition_term) return condition_term;
  return terms_.alt({*fits, terms_.both({*otherwise, terms_.no(*condition_term)})});
}

Result<Term> SchemaCompiler::not_that(const Conjunction& schemas, const Json& schema, Side side) {
  const Json& rest = without(schema, {"not"});
  auto all = value(with(schemas, &schema, {&rest}), side);
  if (!all) return all;
  auto those = value({&schema.at("not")}, other(side));
  if (!those) return those;
  return terms_.both({*all, terms_.no(*those)});
}

Result<Term> SchemaCompiler::dependent(const Conjunction& schemas, const Json& schema, Side side) {
  const Json& dependents = schema.at("dependentSchemas");
  if (dependents.empty())
    return value(with(schemas, &schema, {&without(schema, {"dependentSchemas"})}), side);
  // One of them now, the others when the rest comes here again.
  const auto first = dependents.begin();
  Json fewer = schema;
  for (const char* key : {"allOf", "$ref", "$id"}) fewer.erase(key);
  fewer["dependentSchemas"].erase(first.key());
  const Json*& rest = copies_[{&schema, {"dependentSchemas", first.key()}}];
  if (rest == nullptr) rest = &document_->add(std::move(fewer), schema);
  Json absent = Json::object();
  absent["properties"][first.key()] = false;
  Json present = Json::object();
  present["required"] = Json::array({first.key()});
  return alternatives({with(schemas, &schema, {rest, &document_->add(std::move(absent), schema)}),
                       with(schemas, &schema, {rest, &document_->add(std::move(present), schema), &*first})},
                      side);
}

Result<Term> SchemaCompiler::pattern(const std::string& expression) {
  return parse_regex(terms_, expression, RegexMatch::kSearch, json_term);
}

}  // namespace lazyfill
