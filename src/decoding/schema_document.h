// A JSON Schema as a document: checked, and with its references.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "lazyfill/error.h"

namespace lazyfill {

class SchemaDocument {
 public:
  using Json = nlohmann::json;

  static Result<std::unique_ptr<SchemaDocument>> read(std::string_view text);
  const Json& root() const { return root_; }
  // What "$ref" of the given schema leads to. Errors: nowhere, or out of the document.
  Result<const Json*> follow(const Json& schema, const std::string& reference) const;
  // A schema that is not in the document; it stays as long as this does. The base of its references is that
  // of `like`.
  const Json& add(Json schema, const Json& like);
  bool has_unique_items() const { return has_unique_items_; }

 private:
  void index(const Json& schema, const Json* resource, const std::string& base);
  Result<const Json*> at_fragment(const Json& resource, const std::string& base, std::string fragment,
                                  const std::string& reference) const;

  struct Place {
    const Json* resource;
    std::string base;
  };
  Json root_;
  std::deque<Json> added_;
  std::map<const Json*, Place> places_;       // of every schema
  std::map<std::string, const Json*> known_;  // by URI, with #anchor
  bool has_unique_items_ = false;
};

// Joins a reference to a base (RFC 3986, without dot segments).
std::string resolve_uri(const std::string& base, const std::string& reference);

}  // namespace lazyfill
