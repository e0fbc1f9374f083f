#include "server/api/response_format.h"

#include <string>

namespace lazyfill::server {
namespace {

// One request's wish for a form: at most one, from whichever field.
class Form {
 public:
  Form(const Engine& engine, Fields& fields, GuideOptions& guide)
      : engine_(engine), fields_(fields), guide_(guide) {}

  // {"type": "text" | "json_object" | "json_schema", ...}; the schema stands in `json_schema` or beside the
  // type.
  void take_format(const Json& format, const std::string& name) {
    if (!format.is_object() || !format.contains("type") || !format["type"].is_string())
      return fields_.refuse(name + " must be an object with a type", name);
    const auto type = format["type"].get<std::string>();
    if (type == "text") return;
    if (type == "json_object" && !format.contains("schema"))
      return take_schema(Json{{"type", "object"}}, name);
    const Json& holder = format.contains("json_schema") ? format["json_schema"] : format;
    if (type != "json_schema" && type != "json_object")
      return fields_.refuse(name + ".type must be text, json_object or json_schema", name);
    if (!holder.is_object() || !holder.contains("schema"))
      return fields_.refuse(name + " has no schema", name);
    take_schema(holder["schema"], name);
  }

  // An object, or a text of JSON.
  void take_schema(const Json& schema, const std::string& name) {
    if (!schema.is_object() && !schema.is_boolean() && !schema.is_string())
      return fields_.refuse(name + " must hold a JSON schema", name);
    take({GuideKind::kJsonSchema, schema.is_string() ? schema.get<std::string>() : schema.dump(), {}}, name);
  }

  void take_text(GuideKind kind, const Json& text, const std::string& name) {
    if (!text.is_string()) return fields_.refuse(name + " must be a text", name);
    take({kind, text.get<std::string>(), {}}, name);
  }

  void take_choices(const Json& choices, const std::string& name) {
    GuideOptions guide{GuideKind::kChoice, {}, {}};
    for (const Json& choice : choices.is_array() ? choices : Json::array()) {
      if (!choice.is_string()) return fields_.refuse(name + " must be an array of texts", name);
      guide.choices.push_back(choice.get<std::string>());
    }
    if (guide.choices.empty()) return fields_.refuse(name + " must be an array of texts", name);
    take(std::move(guide), name);
  }

  void take_structured(const Json& structured, const std::string& name) {
    if (!structured.is_object()) return fields_.refuse(name + " must be an object", name);
    if (structured.contains("json")) take_schema(structured["json"], name + ".json");
    if (structured.contains("regex")) take_text(GuideKind::kRegex, structured["regex"], name + ".regex");
    if (structured.contains("grammar"))
      take_text(GuideKind::kGrammar, structured["grammar"], name + ".grammar");
    if (structured.contains("choice")) take_choices(structured["choice"], name + ".choice");
  }

 private:
  void take(GuideOptions guide, const std::string& name) {
    if (guide_.kind != GuideKind::kNone)
      return fields_.refuse("an answer can have one form; leave " + name + " out", name);
    if (guide.source.empty() && guide.choices.empty()) return;  // an empty grammar stands for none
    guide.canonical = guide_.canonical;
    if (auto checked = engine_.check_guide(guide); !checked)
      return fields_.refuse(name + ": " + checked.error().message, name);
    guide_ = std::move(guide);
  }

  const Engine& engine_;
  Fields& fields_;
  GuideOptions& guide_;
};

}  // namespace

void read_response_format(const Engine& engine, Fields& fields, AnswerRequest& request) {
  Form form(engine, fields, request.options.guide);
  const auto given = [&](const char* name) { return fields.any({name}); };
  if (const Json* value = given("response_format")) form.take_format(*value, "response_format");
  if (const Json* value = given("json_schema")) form.take_schema(*value, "json_schema");
  if (const Json* value = given("guided_json")) form.take_schema(*value, "guided_json");
  if (const Json* value = given("grammar")) form.take_text(GuideKind::kGrammar, *value, "grammar");
  if (const Json* value = given("guided_grammar"))
    form.take_text(GuideKind::kGrammar, *value, "guided_grammar");
  if (const Json* value = given("guided_regex")) form.take_text(GuideKind::kRegex, *value, "guided_regex");
  if (const Json* value = given("guided_choice")) form.take_choices(*value, "guided_choice");
  if (const Json* value = given("structured_outputs")) form.take_structured(*value, "structured_outputs");
}

void read_text_format(const Engine& engine, Fields& fields, AnswerRequest& request) {
  const Json* text = fields.object({"text"});
  if (text == nullptr || !text->contains("format")) return;
  Form(engine, fields, request.options.guide).take_format((*text)["format"], "text.format");
}

void read_output_format(const Engine& engine, Fields& fields, AnswerRequest& request) {
  Form form(engine, fields, request.options.guide);
  if (const Json* value = fields.any({"output_format"})) form.take_format(*value, "output_format");
  const Json* config = fields.any({"output_config"});
  if (config != nullptr && config->is_object() && config->contains("format") &&
      !(*config)["format"].is_null())
    form.take_format((*config)["format"], "output_config.format");
}

}  // namespace lazyfill::server
