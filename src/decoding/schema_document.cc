#include "decoding/schema_document.h"

#include <algorithm>

#include "base/quoted.h"
#include "tokenizer/utf8.h"

namespace lazyfill {
namespace {

constexpr size_t kMaxBytes = 512 * 1024;
constexpr size_t kMaxDepth = 64;

bool is_too_deep(std::string_view text) {
  size_t depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      in_string = c != '"';
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      if (++depth > kMaxDepth) return true;
    } else if ((c == '}' || c == ']') && depth > 0) {
      --depth;
    }
  }
  return false;
}

std::string decoded_percent(const std::string& text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto hex = [&](size_t at) {
      const char c = at < text.size() ? text[at] : 'x';
      const char lower = static_cast<char>(c | 0x20);
      if (c >= '0' && c <= '9') return c - '0';
      return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
    };
    if (text[i] == '%' && hex(i + 1) >= 0 && hex(i + 2) >= 0) {
      out += static_cast<char>(hex(i + 1) * 16 + hex(i + 2));
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

}  // namespace

std::string resolve_uri(const std::string& base, const std::string& reference) {
  const size_t colon = reference.find(':');
  if (colon != std::string::npos && colon < reference.find_first_of("/?#")) return reference;
  if (reference.empty()) return base;
  const size_t authority = base.find("://");
  if (authority == std::string::npos) {
    const size_t slash = base.rfind('/');
    return slash == std::string::npos || reference.starts_with('/') ? reference
                                                                    : base.substr(0, slash + 1) + reference;
  }
  const size_t path = std::min(base.find('/', authority + 3), base.size());
  if (reference.starts_with('/')) return base.substr(0, path) + reference;
  const size_t last = base.rfind('/');
  return last < path ? base + '/' + reference : base.substr(0, last + 1) + reference;
}

Result<std::unique_ptr<SchemaDocument>> SchemaDocument::read(std::string_view text) {
  if (text.size() > kMaxBytes)
    return fail(ErrorCode::kInvalidArgument, "the schema has " + std::to_string(text.size()) +
                                                 " bytes; up to " + std::to_string(kMaxBytes) +
                                                 " are allowed");
  if (is_too_deep(text))
    return fail(ErrorCode::kInvalidArgument, "the schema is nested deeper than " + std::to_string(kMaxDepth) +
                                                 " levels; use $defs and $ref");
  auto document = std::make_unique<SchemaDocument>();
  try {
    document->root_ = Json::parse(text);
  } catch (const Json::parse_error& error) {
    return fail(ErrorCode::kInvalidArgument, "the schema is no JSON, byte " + std::to_string(error.byte));
  } catch (const Json::exception&) {
    return fail(ErrorCode::kInvalidArgument, "the schema is no JSON: it holds a number that is too large");
  }
  if (!document->root_.is_object() && !document->root_.is_boolean())
    return fail(ErrorCode::kInvalidArgument, "a schema is a JSON object, or true or false");
  document->index(document->root_, &document->root_, "");
  return document;
}

void SchemaDocument::index(const Json& schema, const Json* resource, const std::string& outer_base) {
  std::string base = outer_base;
  if (schema.is_object()) {
    if (const auto id = schema.find("$id"); id != schema.end() && id->is_string()) {
      std::string own = id->get<std::string>();
      if (!own.starts_with('#')) {
        own = own.substr(0, own.find('#'));
        base = resolve_uri(base, own);
        resource = &schema;
        known_.emplace(base, &schema);
      }
    }
    for (const char* name : {"$anchor", "$dynamicAnchor"}) {
      if (const auto anchor = schema.find(name); anchor != schema.end() && anchor->is_string())
        known_.emplace(base + "#" + anchor->get<std::string>(), &schema);
    }
    if (const auto unique = schema.find("uniqueItems"); unique != schema.end() && *unique == true)
      has_unique_items_ = true;
    places_[&schema] = {resource, base};
    for (const auto& [key, value] : schema.items()) {
      // What is no schema, whatever it looks like.
      if (key == "const" || key == "enum" || key == "default" || key == "examples") continue;
      index(value, resource, base);
    }
  } else if (schema.is_array()) {
    for (const Json& item : schema) index(item, resource, base);
  } else {
    places_[&schema] = {resource, base};
  }
}

Result<const nlohmann::json*> SchemaDocument::at_fragment(const Json& resource, const std::string& base,
                                                          std::string fragment,
                                                          const std::string& reference) const {
  const auto nowhere = [&] {
    return fail(ErrorCode::kInvalidArgument,
                "the schema's reference " + lazyfill::quoted(reference) + " leads nowhere");
  };
  fragment = decoded_percent(fragment);
  if (fragment.empty()) return &resource;
  if (!fragment.starts_with('/')) {
    const auto found = known_.find(base + "#" + fragment);
    if (found == known_.end()) return nowhere();
    return found->second;
  }
  try {
    const Json& found = resource.at(Json::json_pointer(fragment));
    if (!found.is_object() && !found.is_boolean()) return nowhere();
    return &found;
  } catch (const Json::exception&) {
    return nowhere();
  }
}

Result<const nlohmann::json*> SchemaDocument::follow(const Json& schema, const std::string& reference) const {
  const auto place = places_.find(&schema);
  if (place == places_.end()) return &root_;
  const size_t hash = std::min(reference.find('#'), reference.size());
  const std::string fragment = hash < reference.size() ? reference.substr(hash + 1) : "";
  if (hash == 0) return at_fragment(*place->second.resource, place->second.base, fragment, reference);
  const std::string uri = resolve_uri(place->second.base, reference.substr(0, hash));
  const auto found = known_.find(uri);
  if (found == known_.end()) {
    return fail(ErrorCode::kUnsupported,
                "the schema's reference " + lazyfill::quoted(reference) +
                    " leads out of it, and nothing is fetched; put what it names into $defs");
  }
  return at_fragment(*found->second, uri, fragment, reference);
}

const nlohmann::json& SchemaDocument::add(Json schema, const Json& like) {
  added_.push_back(std::move(schema));
  const auto place = places_.find(&like);
  const Place of = place == places_.end() ? Place{&root_, ""} : place->second;
  index(added_.back(), of.resource, of.base);
  return added_.back();
}

}  // namespace lazyfill
