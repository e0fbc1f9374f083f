#include "decoding/json_schema.h"

#include "decoding/schema_compiler.h"

namespace lazyfill {

Result<JsonSchemaTerm> parse_json_schema(Terms& terms, std::string_view schema, SchemaPlace place) {
  auto document = SchemaDocument::read(schema);
  if (!document) return tl::unexpected(document.error());
  JsonSchemaTerm made;
  made.unique_items = (*document)->has_unique_items();
  auto compiler = std::make_shared<SchemaCompiler>(terms, std::move(*document));
  auto start = compiler->compile_root(place == SchemaPlace::kAlone);
  if (!start) return tl::unexpected(start.error());
  made.start = *start;
  made.owned = std::move(compiler);
  return made;
}

}  // namespace lazyfill
