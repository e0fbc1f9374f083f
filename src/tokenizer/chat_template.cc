#include "tokenizer/chat_template.h"

#include <ctime>

#include "tokenizer/jinja/from_json.h"
#include "tokenizer/jinja/interpreter.h"
#include "tokenizer/jinja/parser.h"
#include "tokenizer/utf8.h"

namespace lazyfill {
namespace {

jinja::Value messages_of(const std::vector<ChatMessage>& messages) {
  std::vector<jinja::Value> list;
  for (const ChatMessage& message : messages) {
    jinja::Dict dict;
    dict.set(jinja::Value("role"), jinja::Value(message.role));
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
  interpreter.set_global(name, std::move(*value));
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

Result<std::string> ChatTemplate::render(const Context& context) const {
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
  interpreter.set_global("bos_token", jinja::Value(context.bos_token));
  interpreter.set_global("eos_token", jinja::Value(context.eos_token));
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
  return text;
}

}  // namespace lazyfill
