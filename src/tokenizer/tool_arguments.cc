#include "tokenizer/tool_arguments.h"

#include <functional>
#include <nlohmann/json.hpp>
#include <utility>

#include "tokenizer/jinja/from_json.h"

namespace lazyfill {
namespace {

using Json = nlohmann::ordered_json;

// A name and a value that no conversation has by chance.
constexpr std::string_view kProbeName = "lazyfill_probe_name";
constexpr std::string_view kProbeValue = "lazyfill_probe_value";
constexpr std::string_view kBlanks = " \t\r\n";

using Visit = std::function<void(Json& arguments)>;

void visit_function(Json& function, const Visit& visit) {
  if (!function.is_object()) return;
  if (function.contains("name") && !function.contains("arguments")) function["arguments"] = nullptr;
  if (const auto found = function.find("arguments"); found != function.end()) visit(*found);
}

// Every "arguments" of every call: in tool_calls, with and without "function", and the older function_call.
// Where a function has none, they are null.
void visit_arguments(Json& messages, const Visit& visit) {
  if (!messages.is_array()) return;
  for (Json& message : messages) {
    if (!message.is_object()) continue;
    if (const auto call = message.find("function_call"); call != message.end()) visit_function(*call, visit);
    const auto calls = message.find("tool_calls");
    if (calls == message.end() || !calls->is_array()) continue;
    for (Json& call : *calls) {
      visit_function(call, visit);
      if (!call.is_object()) continue;
      if (const auto function = call.find("function"); function != call.end())
        visit_function(*function, visit);
    }
  }
}

// Calls without arguments come with none, null, or a text of blanks or "null"; an object without members says
// the same in every template.
void fill_in(Json& arguments) {
  if (arguments.is_null()) arguments = Json::object();
  if (!arguments.is_string()) return;
  const std::string& text = arguments.get_ref<const std::string&>();
  const size_t first = text.find_first_not_of(kBlanks);
  const size_t end = text.find_last_not_of(kBlanks) + 1;
  if (first == std::string::npos || std::string_view(text).substr(first, end - first) == "null")
    arguments = "{}";
}

// What a text of arguments says; discarded where it is no object, with the reason where a reason is to be
// had.
Json object_of(const Json& arguments, std::string& reason) {
  const std::string& text = arguments.get_ref<const std::string&>();
  // The interpreter's own reader bounds the depth, which nlohmann's writer does not.
  const auto readable = jinja::from_json(text, "the text");
  if (!readable) reason = " (" + readable.error().message + ")";
  return readable && readable->dict() != nullptr ? Json::parse(text) : Json(Json::value_t::discarded);
}

// As Python's json.dumps() writes it.
std::string text_of(const Json& object) {
  const auto value = jinja::from_json(object.dump(), "the arguments of a call");
  jinja::BoundedText out(size_t{1} << 30);
  return value && jinja::append_json(*value, {}, out) ? out.take().take_bytes() : object.dump();
}

struct Shown {
  bool names = false;      // the name and the value of the probe stand in the text
  bool as_python = false;  // in the quotes of Python's dictionaries
  bool escaped = false;    // in quotes of a text of JSON inside a text of JSON
};

Shown show(const ChatTemplate& chat_template, ChatTemplate::Context context, Json messages,
           const Json& probe) {
  visit_arguments(messages, [&probe](Json& arguments) { arguments = probe; });
  context.messages_json = messages.dump();
  const auto chat = chat_template.render(context);
  if (!chat) return {};
  const auto has = [&chat](const std::string& wanted) {
    return chat->text.find(wanted) != std::string::npos;
  };
  const std::string name(kProbeName);
  return {has(name) && has(std::string(kProbeValue)), has("'" + name + "'"), has("\\\"" + name + "\\\"")};
}

}  // namespace

Result<std::string> fit_tool_arguments(const ChatTemplate& chat_template,
                                       const ChatTemplate::Context& context) {
  const auto mentions = [&context](const char* key) {
    return context.messages_json.find(key) != std::string::npos;
  };
  if (!mentions("\"tool_calls\"") && !mentions("\"function_call\"")) return context.messages_json;
  if (auto readable = jinja::from_json(context.messages_json, "the text of the messages"); !readable)
    return tl::unexpected(readable.error());
  Json messages = Json::parse(context.messages_json);
  bool any = false;
  visit_arguments(messages, [&any](Json& arguments) {
    fill_in(arguments);
    any = any || arguments.is_string() || arguments.is_object();
  });
  if (!any) return context.messages_json;
  const Json probe = {{kProbeName, kProbeValue}};
  const Shown object = show(chat_template, context, messages, probe);
  const Shown text = show(chat_template, context, messages, Json(text_of(probe)));
  const bool takes_objects = object.names && !object.as_python && !object.escaped;
  const bool takes_texts = text.names && !text.escaped;
  if (takes_objects == takes_texts) return messages.dump();  // both: it tells them apart itself
  bool all_fit = true;
  std::string reason;
  visit_arguments(messages, [&](Json& arguments) {
    if (takes_texts && arguments.is_object()) arguments = text_of(arguments);
    if (takes_texts || !arguments.is_string()) return;
    arguments = object_of(arguments, reason);
    all_fit = all_fit && !arguments.is_discarded();
  });
  if (!all_fit) {
    return fail(ErrorCode::kInvalidArgument,
                "the arguments of a call are no JSON object" + reason +
                    ", and this model's chat template needs one: mend them or leave the call out");
  }
  return messages.dump();
}

}  // namespace lazyfill
