#include "tokenizer/chat_template.h"

#include <algorithm>
#include <ctime>
#include <iterator>
#include <utility>

#include "tokenizer/jinja/from_json.h"
#include "tokenizer/jinja/interpreter.h"
#include "tokenizer/jinja/parser.h"
#include "tokenizer/utf8.h"

namespace lazyfill {
namespace {

// Some templates make control tokens of roles: '<|' + message.role + '|>'. The names of roles that chat
// formats know are no stranger's words, and so count as the template's; any other role is text.
jinja::Value role_of(const std::string& role) {
  constexpr std::string_view kRoles[] = {"system",   "user",        "assistant", "tool",          "developer",
                                         "function", "observation", "ipython",   "tool_response", "model"};
  return jinja::Value(
      jinja::Text(role, std::find(std::begin(kRoles), std::end(kRoles), role) != std::end(kRoles)));
}

jinja::Value with_known_roles(const jinja::Value& messages) {
  std::vector<jinja::Value> list = messages.list()->items;
  for (jinja::Value& message : list) {
    const jinja::Value* role = message.dict() == nullptr ? nullptr : message.dict()->find("role");
    if (role == nullptr || role->text() == nullptr) continue;
    jinja::Dict dict = *message.dict();
    dict.set(jinja::Value("role"), role_of(*role->text()));
    message = jinja::Value(jinja::Dict{std::move(dict.items), {}});
  }
  return jinja::Value::list(std::move(list));
}

jinja::Value messages_of(const std::vector<ChatMessage>& messages) {
  std::vector<jinja::Value> list;
  for (const ChatMessage& message : messages) {
    jinja::Dict dict;
    dict.set(jinja::Value("role"), role_of(message.role));
    dict.set(jinja::Value("content"), jinja::Value(message.content));
    list.emplace_back(std::move(dict));
  }
  return jinja::Value::list(std::move(list));
}

Result<void> set_from_json(jinja::Interpreter& interpreter, const char* name, std::string_view json,
                           const char* what) {
  if (json.empty()) return {};
  auto value = jinja::from_json(json, what);
  if (!value) return tl::unexpected(value.error());
  if (!value->is_kind(jinja::List::Kind::kList))
    return fail(ErrorCode::kInvalidArgument, std::string(what) + " must be a JSON array");
  interpreter.set_global(name, name == std::string_view("messages") ? with_known_roles(*value) : *value);
  return {};
}

Result<void> set_variables(jinja::Interpreter& interpreter, std::string_view json) {
  if (json.empty()) return {};
  auto value = jinja::from_json(json, "the text of the template's variables");
  if (!value) return tl::unexpected(value.error());
  if (value->dict() == nullptr)
    return fail(ErrorCode::kInvalidArgument, "the template's variables must be a JSON object");
  for (const auto& [name, variable] : value->dict()->items) interpreter.set_global(*name.text(), variable);
  return {};
}

// No more than a computer's memory holds, so that small multiples of it do not overflow.
size_t bytes_given(const ChatTemplate::Context& context) {
  size_t n = context.messages_json.size() + context.tools_json.size() + context.variables_json.size();
  for (const ChatMessage& message : context.messages) n += message.role.size() + message.content.size();
  return n;
}

RenderedChat with_spans(jinja::Text text) {
  RenderedChat chat;
  jinja::TextView(text).each_part([&, at = size_t{0}](std::string_view part, bool of_template) mutable {
    if (of_template && !part.empty()) chat.template_spans.push_back({at, at + part.size()});
    at += part.size();
  });
  chat.text = text.take_bytes();
  return chat;
}

}  // namespace

struct ChatTemplate::Program {
  jinja::Body body;
};

ChatTemplate::ChatTemplate(std::unique_ptr<Program> program) : program_(std::move(program)) {}
ChatTemplate::ChatTemplate(ChatTemplate&&) noexcept = default;
ChatTemplate& ChatTemplate::operator=(ChatTemplate&&) noexcept = default;
ChatTemplate::~ChatTemplate() = default;

Result<ChatTemplate> ChatTemplate::parse(std::string_view source) {
  if (utf8::first_invalid(source))
    return fail(ErrorCode::kInvalidFile, "the chat template is not valid UTF-8");
  auto body = jinja::parse(source);
  if (!body) return tl::unexpected(body.error());
  return ChatTemplate(std::make_unique<Program>(Program{std::move(*body)}));
}

Result<RenderedChat> ChatTemplate::render(const Context& context) const {
  for (const ChatMessage& message : context.messages) {
    if (utf8::first_invalid(message.role) || utf8::first_invalid(message.content)) {
      return fail(ErrorCode::kInvalidArgument, "a message is not valid UTF-8: convert it to UTF-8 first");
    }
  }
  const size_t n_given = bytes_given(context);
  jinja::Interpreter interpreter(
      jinja::Limits{.max_steps = context.max_steps + n_given * context.more_steps_per_byte,
                    .max_bytes = context.max_bytes + n_given * context.more_bytes_per_byte});
  interpreter.set_now(context.now_s != 0 ? context.now_s : static_cast<int64_t>(std::time(nullptr)));
  interpreter.set_global("messages", messages_of(context.messages));
  interpreter.set_global("add_generation_prompt", jinja::Value(context.add_generation_prompt));
  interpreter.set_global("bos_token", jinja::Value::of_template(context.bos_token));
  interpreter.set_global("eos_token", jinja::Value::of_template(context.eos_token));
  for (const char* name : {"tools", "documents"}) interpreter.set_global(name, jinja::Value(jinja::None{}));
  for (const char* name :
       {"range", "namespace", "dict", "raise_exception", "strftime_now", "joiner", "cycler"}) {
    jinja::Function function;
    function.name = name;
    interpreter.set_global(name, jinja::Value(std::make_shared<const jinja::Function>(std::move(function))));
  }
  if (auto done = set_from_json(interpreter, "messages", context.messages_json, "the text of the messages");
      !done)
    return tl::unexpected(done.error());
  if (auto done = set_from_json(interpreter, "tools", context.tools_json, "the text of the tools"); !done)
    return tl::unexpected(done.error());
  if (auto done = set_variables(interpreter, context.variables_json); !done)
    return tl::unexpected(done.error());
  auto text = interpreter.render(program_->body);
  if (text && context.tools_must_be_read && !interpreter.tools_were_read()) {
    return fail(
        ErrorCode::kUnsupported,
        "this model's chat template does nothing with tools: leave them out, or describe them in a message");
  }
  return std::move(text).map(with_spans);
}

}  // namespace lazyfill
