#include "server/openapi.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "server/routes.h"

namespace lazyfill::server {
namespace {

std::set<std::string> documented_routes() {
  std::set<std::string> found;
  const Json document = openapi_document("1");
  for (const auto& [path, methods] : document["paths"].items())
    for (const auto& [method, operation] : methods.items()) found.insert(method + " " + path);
  return found;
}

TEST(OpenApi, ListsEveryRouteAndNoOther) {
  std::set<std::string> routes;
  for (const Route& route : route_table())
    routes.insert((route.method == "GET" ? "get " : "post ") + std::string(route.path));
  EXPECT_EQ(documented_routes(), routes);
}

void collect_references(const Json& value, std::set<std::string>& found) {
  if (value.is_object() && value.contains("$ref")) found.insert(value["$ref"].get<std::string>());
  if (value.is_structured())
    for (const Json& inner : value) collect_references(inner, found);
}

TEST(OpenApi, RefersToEverySchemaAndToNoOther) {
  const Json document = openapi_document("1");
  std::set<std::string> references;
  collect_references(document, references);
  std::set<std::string> schemas;
  for (const auto& [name, schema] : document["components"]["schemas"].items())
    schemas.insert("#/components/schemas/" + name);
  EXPECT_EQ(references, schemas);
}

TEST(OpenApi, NamesTheKeyWhereItIsNeeded) {
  const Json document = openapi_document("1");
  for (const Route& route : route_table()) {
    const Json& operation =
        document["paths"][std::string(route.path)][route.method == "GET" ? "get" : "post"];
    EXPECT_EQ(operation["responses"].contains("401"), route.needs_key) << route.path;
    EXPECT_EQ(operation.contains("security"), !route.needs_key) << route.path;
  }
}

}  // namespace
}  // namespace lazyfill::server
