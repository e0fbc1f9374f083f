// Parses whatever bytes libFuzzer thinks of as a chat template and renders it over a conversation with tools;
// what follows a zero byte is taken for the messages' JSON text instead.
//   build/fuzz/bin/template_fuzz -dict=fuzz/template.dict -max_len=2048 -max_total_time=60 CORPUS
//   fuzz/corpus/template
#include <string>
#include <string_view>

#include "tokenizer/chat_template.h"
#include "tokenizer/utf8.h"

namespace {

constexpr char kMessages[] =
    R"([{"role":"system","content":" Be terse.\n"},{"role":"user","content":"6 \u00d7 7?"},)"
    R"({"role":"assistant","content":null,"tool_calls":[{"id":"abc123def","type":"function",)"
    R"("function":{"name":"f","arguments":{"a":6,"b":[1.5,true,null]}}}]},)"
    R"({"role":"tool","tool_call_id":"abc123def","content":"42"},{"role":"user","content":[{"type":"text","text":"x"}]}])";
constexpr char kTools[] =
    R"([{"type":"function","function":{"name":"f","description":"<d>","parameters":{"type":"object",)"
    R"("properties":{"a":{"type":"integer"}},"required":["a"]}}}])";

void check(const lazyfill::Error& error) {
  if (error.message.empty()) __builtin_trap();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t zero = input.find('\0');
  const auto chat_template = lazyfill::ChatTemplate::parse(input.substr(0, zero));
  if (!chat_template) {
    check(chat_template.error());
    return 0;
  }
  lazyfill::ChatTemplate::Context context;
  context.messages_json = zero == std::string_view::npos ? kMessages : std::string(input.substr(zero + 1));
  context.tools_json = kTools;
  context.bos_token = "<s>";
  context.eos_token = "</s>";
  context.max_steps = 20000;
  context.max_bytes = size_t{1} << 18;
  context.more_steps_per_byte = 0;
  context.more_bytes_per_byte = 0;
  context.now_s = 1753526096;
  const auto chat = chat_template->render(context);
  if (!chat) {
    check(chat.error());
    return 0;
  }
  if (chat->text.size() > context.max_bytes || lazyfill::utf8::first_invalid(chat->text)) __builtin_trap();
  size_t last_end = 0;
  for (const lazyfill::TextSpan& span : chat->template_spans) {
    if (span.begin < last_end || span.end <= span.begin || span.end > chat->text.size()) __builtin_trap();
    last_end = span.end;
  }
  return 0;
}
