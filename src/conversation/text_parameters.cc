#include <algorithm>
#include <nlohmann/json.hpp>

#include "conversation/tool_call.h"

namespace lazyfill {
namespace {

using Json = nlohmann::json;

// null where there is none.
const Json& member(const Json& value, const char* name) {
  static const Json kNull;
  if (!value.is_object()) return kNull;
  const auto found = value.find(name);
  return found == value.end() ? kNull : *found;
}

// One of several types is enough.
bool can_be_text(const Json& schema) {
  const auto is_text = [](const Json& type) { return type == "string"; };
  const Json& type = member(schema, "type");
  if (is_text(type) || (type.is_array() && std::any_of(type.begin(), type.end(), is_text))) return true;
  for (const char* several : {"anyOf", "oneOf"}) {
    const Json& options = member(schema, several);
    if (!options.is_array()) continue;
    for (const Json& option : options)
      if (is_text(member(option, "type"))) return true;
  }
  return false;
}

}  // namespace

TextParameters::TextParameters(const std::string& tools_json) {
  const Json tools = Json::parse(tools_json, nullptr, false);
  if (!tools.is_array()) return;
  for (const Json& tool : tools) {
    const Json& function = member(tool, "function").is_object() ? member(tool, "function") : tool;
    const Json& name = member(function, "name");
    const Json& properties = member(member(function, "parameters"), "properties");
    if (!name.is_string() || !properties.is_object()) continue;
    for (const auto& [parameter, schema] : properties.items())
      if (can_be_text(schema)) of_tools_[name.get<std::string>()].insert(parameter);
  }
}

bool TextParameters::contain(const std::string& tool, const std::string& parameter) const {
  const auto found = of_tools_.find(tool);
  return found != of_tools_.end() && found->second.count(parameter) > 0;
}

}  // namespace lazyfill
