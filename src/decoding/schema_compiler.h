// From the schemas that a value must fit, all of them, to the term of its texts.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "decoding/json_texts.h"
#include "decoding/schema_document.h"

namespace lazyfill {

// Schemas that all apply to one value. References and "allOf" are no more than further ones.
using Conjunction = std::set<const nlohmann::json*>;

class SchemaCompiler {
 public:
  using Json = nlohmann::json;

  SchemaCompiler(Terms& terms, std::unique_ptr<SchemaDocument> document);
  // closes: nothing else is made of these terms before they are looked into.
  Result<Term> compile_root(bool closes);

  // --- for shapes ---
  Result<Term> value(Conjunction schemas, Side side);
  Terms& terms() { return terms_; }
  JsonTexts& texts() { return texts_; }
  const Json& add(Json schema, const Json& like) { return document_->add(std::move(schema), like); }
  // A pattern as the body of a string in which some part matches it.
  Result<Term> pattern(const std::string& expression);
  static const Json* find(const Json& schema, const char* keyword);
  // What lazy rules look at; it stays as long as the compiler does.
  void keep(std::shared_ptr<void> shape) { kept_.push_back(std::move(shape)); }

 private:
  Result<Term> compile(const Conjunction& schemas, Side side);
  struct Flattened {
    Conjunction schemas;  // without "allOf" and "$ref", which are followed
    Conjunction visited;
    bool impossible = false;
  };
  Result<void> flatten(const Json& schema, Flattened& out, Side side);
  Result<void> check_keywords(const Json& schema, Side side) const;
  Result<void> check_keyword(const Json& schema, const std::string& key, const Json& value, Side side) const;
  // A schema without a keyword, as a copy.
  const Json& without(const Json& schema, const std::vector<std::string>& keywords);
  static Conjunction with(Conjunction schemas, const Json* remove, std::initializer_list<const Json*> add);
  using Branch = Result<Term> (SchemaCompiler::*)(const Conjunction&, const Json&, Side);
  Result<Term> any_of(const Conjunction& schemas, const Json& schema, Side side);
  Result<Term> one_of(const Conjunction& schemas, const Json& schema, Side side);
  Result<Term> if_then_else(const Conjunction& schemas, const Json& schema, Side side);
  Result<Term> not_that(const Conjunction& schemas, const Json& schema, Side side);
  Result<Term> dependent(const Conjunction& schemas, const Json& schema, Side side);
  Result<Term> alternatives(const std::vector<Conjunction>& ways, Side side);
  bool are_apart(const Json& a, const Json& b);

  Result<Term> by_types(const Conjunction& schemas, Side side);
  Result<Term> constants(const Conjunction& schemas, Side side, const std::set<std::string>& types);
  Result<Term> constant(const Json& value, const Json& like, Side side);
  Result<Term> string(const Conjunction& schemas, Side side);
  Result<Term> number(const Conjunction& schemas, Side side, bool integer);

  Terms& terms_;
  std::unique_ptr<SchemaDocument> document_;
  JsonTexts texts_;
  std::map<std::pair<Conjunction, Side>, Term> made_;
  std::map<std::pair<const Json*, std::vector<std::string>>, const Json*> copies_;
  std::vector<std::shared_ptr<void>> kept_;
  size_t depth_ = 0;
  size_t n_compiled_ = 0;
};

Result<Term> object_term(SchemaCompiler& compiler, const Conjunction& schemas, Side side);
Result<Term> array_term(SchemaCompiler& compiler, const Conjunction& schemas, Side side);
// The type of a JSON value, as schemas name it; whole numbers are "integer".
std::string type_name(const nlohmann::json& value);

}  // namespace lazyfill
