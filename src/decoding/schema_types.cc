// Schemas without combining keywords, type by type.
#include <algorithm>

#include "base/quoted.h"
#include "decoding/json_formats.h"
#include "decoding/regex.h"
#include "decoding/schema_compiler.h"

namespace lazyfill {
namespace {

using Json = nlohmann::json;

// Keywords beside which a list of constants does not say all.
constexpr const char* kLimiting[] = {"minLength",         "maxLength",
                                     "pattern",           "format",
                                     "minimum",           "maximum",
                                     "exclusiveMinimum",  "exclusiveMaximum",
                                     "multipleOf",        "items",
                                     "prefixItems",       "contains",
                                     "minItems",          "maxItems",
                                     "unevaluatedItems",  "properties",
                                     "patternProperties", "additionalProperties",
                                     "propertyNames",     "required",
                                     "minProperties",     "maxProperties",
                                     "dependentRequired", "unevaluatedProperties"};

std::set<std::string> allowed_types(const Conjunction& schemas) {
  std::set<std::string> allowed = {"null", "boolean", "number", "integer", "string", "array", "object"};
  for (const Json* schema : schemas) {
    const auto type = schema->find("type");
    if (type == schema->end()) continue;
    std::set<std::string> own;
    if (type->is_string()) own.insert(type->get<std::string>());
    if (type->is_array()) own = type->get<std::set<std::string>>();
    if (own.count("number") > 0) own.insert("integer");
    std::erase_if(allowed, [&](const std::string& one) { return own.count(one) == 0; });
  }
  return allowed;
}

}  // namespace

Result<Term> SchemaCompiler::by_types(const Conjunction& schemas, Side side) {
  const std::set<std::string> types = allowed_types(schemas);
  for (const Json* schema : schemas) {
    if (find(*schema, "const") != nullptr || find(*schema, "enum") != nullptr)
      return constants(schemas, side, types);
  }
  std::vector<Term> ways;
  const auto add = [&](Result<Term> term) -> Result<void> {
    if (!term) return tl::unexpected(term.error());
    ways.push_back(*term);
    return {};
  };
  if (types.count("null") > 0) ways.push_back(terms_.literal("null"));
  if (types.count("boolean") > 0)
    ways.push_back(terms_.alt({terms_.literal("true"), terms_.literal("false")}));
  if (types.count("integer") > 0) {
    if (auto done = add(number(schemas, side, types.count("number") == 0)); !done)
      return tl::unexpected(done.error());
  }
  if (types.count("string") > 0) {
    if (auto done = add(string(schemas, side)); !done) return tl::unexpected(done.error());
  }
  if (types.count("array") > 0) {
    if (auto done = add(array_term(*this, schemas, side)); !done) return tl::unexpected(done.error());
  }
  if (types.count("object") > 0) {
    if (auto done = add(object_term(*this, schemas, side)); !done) return tl::unexpected(done.error());
  }
  return terms_.alt(std::move(ways));
}

Result<Term> SchemaCompiler::constants(const Conjunction& schemas, Side side,
                                       const std::set<std::string>& types) {
  std::optional<std::vector<Json>> values;
  bool is_limited = false;
  Conjunction rest;
  for (const Json* schema : schemas) {
    for (const char* key : kLimiting) is_limited = is_limited || schema->contains(key);
    rest.insert(&without(*schema, {"const", "enum"}));
    for (const char* key : {"const", "enum"}) {
      const Json* found = find(*schema, key);
      if (found == nullptr) continue;
      std::vector<Json> own;
      if (std::string_view(key) == "const") {
        own.push_back(*found);
      } else {
        own.assign(found->begin(), found->end());
      }
      if (!values) values = own;
      std::erase_if(*values,
                    [&](const Json& one) { return std::find(own.begin(), own.end(), one) == own.end(); });
    }
  }
  std::vector<Term> ways;
  for (const Json& one : *values) {
    const std::string type = type_name(one);
    if (types.count(type) == 0) continue;
    auto term = constant(one, **schemas.begin(), side);
    if (!term) return term;
    ways.push_back(*term);
  }
  const Term all = terms_.alt(std::move(ways));
  if (!is_limited || all == kNothing) return all;
  auto limits = value(std::move(rest), side);
  if (!limits) return limits;
  return terms_.both({all, *limits});
}

Result<Term> SchemaCompiler::constant(const Json& value_of, const Json& like, Side side) {
  if (value_of.is_array()) {
    Term term = kEmptyText;
    for (size_t i = value_of.size(); i-- > 0;) {
      auto item = constant(value_of[i], like, side);
      if (!item) return item;
      const Term before = i == 0 ? kEmptyText : terms_.cat(terms_.literal(","), texts_.space());
      term = terms_.cat({before, *item, term});
    }
    const Term space = value_of.empty() ? kEmptyText : texts_.space();
    return terms_.cat({terms_.literal("["), texts_.space(), term, space, terms_.literal("]")});
  }
  if (value_of.is_object()) {
    Json schema = {{"type", "object"}, {"additionalProperties", false}};
    schema["required"] = Json::array();
    schema["properties"] = Json::object();
    for (const auto& [key, member] : value_of.items()) {
      schema["required"].push_back(key);
      schema["properties"][key] = Json::object({{"const", member}});
    }
    return value({&document_->add(std::move(schema), like)}, side);
  }
  if (const auto term = texts_.scalar(value_of, side)) return *term;
  if (side == Side::kOver) return texts_.number({}, side);
  return fail(ErrorCode::kUnsupported,
              "the schema's keyword \"const\" or \"enum\" is not supported with a number of that size");
}

Result<Term> SchemaCompiler::string(const Conjunction& schemas, Side side) {
  uint32_t min = 0;
  uint32_t max = kUnbounded;
  std::vector<Term> parts;
  for (const Json* schema : schemas) {
    if (const Json* length = find(*schema, "minLength"))
      min = std::max(min, static_cast<uint32_t>(length->get<double>()));
    if (const Json* length = find(*schema, "maxLength"))
      max = std::min(max, static_cast<uint32_t>(length->get<double>()));
    if (const Json* expression = find(*schema, "pattern")) {
      auto term = pattern(expression->get<std::string>());
      if (!term && side == Side::kUnder)
        return fail(term.error().code,
                    "the schema's keyword \"pattern\" cannot be used: " + term.error().message);
      if (term) parts.push_back(*term);
    }
    const Json* format = find(*schema, "format");
    if (format == nullptr || side == Side::kOver) continue;  // a note to others, says the standard
    const std::string_view known = json_format(format->get_ref<const std::string&>());
    if (known.empty()) {
      return fail(ErrorCode::kUnsupported, "the schema's keyword \"format\" is not supported with " +
                                               lazyfill::quoted(format->get<std::string>()));
    }
    auto term = parse_regex(terms_, known, RegexMatch::kWhole, json_term);
    if (!term) return term;
    parts.push_back(*term);
  }
  if (min > max) return kNothing;
  if (parts.empty() || min > 0 || max != kUnbounded)
    parts.push_back(terms_.repeat(texts_.character(), min, max));
  return texts_.quoted(terms_.both(std::move(parts)));
}

Result<Term> SchemaCompiler::number(const Conjunction& schemas, Side side, bool integer) {
  NumberLimits limits;
  limits.integer = integer;
  for (const Json* schema : schemas) {
    for (const char* key : {"minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum", "multipleOf"}) {
      const Json* found = find(*schema, key);
      const auto decimal = found == nullptr ? std::nullopt : Decimal::read(*found);
      if (!decimal) continue;  // check_keyword() has refused what is too large
      const std::string_view name = key;
      if (name == "multipleOf") {
        limits.multiples.push_back(*decimal);
      } else {
        auto& list = name.ends_with("inimum") ? limits.least : limits.most;
        list.push_back({*decimal, name.starts_with("exclusive")});
      }
    }
  }
  return texts_.number(limits, side);
}

}  // namespace lazyfill
