#include "tokenizer/chat_template.h"

#include <ctime>

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
  jinja::Interpreter interpreter{jinja::Limits{}};
  interpreter.set_now(context.now_s != 0 ? context.now_s : static_cast<int64_t>(std::time(nullptr)));
  interpreter.set_global("messages", messages_of(context.messages));
  interpreter.set_global("add_generation_prompt", jinja::Value(context.add_generation_prompt));
  interpreter.set_global("bos_token", jinja::Value(context.bos_token));
  interpreter.set_global("eos_token", jinja::Value(context.eos_token));
  for (const char* name : {"tools", "documents"}) interpreter.set_global(name, jinja::Value(jinja::None{}));
  for (const char* name : {"range", "namespace", "dict", "raise_exception", "strftime_now"}) {
    jinja::Function function;
    function.name = name;
    interpreter.set_global(name, jinja::Value(std::make_shared<const jinja::Function>(std::move(function))));
  }
  return interpreter.render(program_->body);
}

}  // namespace lazyfill
