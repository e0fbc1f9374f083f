#include "server/api/response_format.h"

namespace lazyfill::server {
namespace {

void read_format(Fields& fields, const Json& format, const char* name) {
  const auto type = format.find("type");
  if (type == format.end() || !type->is_string())
    return fields.refuse(std::string(name) + " needs a type", name);
  if (*type != "text") {
    fields.refuse(std::string(name) + " other than text is not supported; ask for JSON in the prompt", name);
  }
}

}  // namespace

void read_response_format(Fields& fields, AnswerRequest&) {
  if (const Json* format = fields.object({"response_format"}))
    read_format(fields, *format, "response_format");
  for (const char* name :
       {"json_schema", "grammar", "guided_json", "guided_regex", "guided_choice", "guided_grammar"})
    if (fields.has(name)) fields.refuse(std::string(name) + " is not supported", name);
}

void read_text_format(Fields& fields, AnswerRequest&) {
  const Json* text = fields.object({"text"});
  if (text == nullptr || !text->contains("format")) return;
  const Json& format = (*text)["format"];
  if (!format.is_object()) return fields.refuse("text.format must be an object", "text.format");
  read_format(fields, format, "text.format");
}

}  // namespace lazyfill::server
