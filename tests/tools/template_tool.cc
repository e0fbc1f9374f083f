// Renders chat templates for the comparison with Python's jinja2 (tests/python/test_templates.py).
//
// Each line of standard input is {"template": text, "messages": [...], "tools": [...] or null, "variables":
// {...}, "add_generation_prompt": flag, "now_s": seconds}, all but the first optional; each line of standard
// output is
// {"text": rendered, "template_spans": [[begin, end]...] in bytes} or {"error": sentence}. With the name of a
// model as argument, its tokeniser adds "ids", and "control": which of them are control tokens.
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "tokenizer/chat_template.h"
#include "tokenizer/tokenizer.h"

namespace {

using Json = nlohmann::ordered_json;

std::string text_of(const Json& request, const char* key) {
  const auto found = request.find(key);
  return found == request.end() || found->is_null() ? std::string() : found->dump();
}

Json tokenize(const lazyfill::Tokenizer& tokenizer, const lazyfill::RenderedChat& chat) {
  const auto ids = tokenizer.encode(chat.text, {.add_special = false, .control_spans = chat.template_spans});
  if (!ids) return {{"error", ids.error().message}};
  Json control = Json::array();
  for (const int32_t id : *ids) control.push_back(tokenizer.piece(id, false).empty());
  return {{"ids", *ids}, {"control", control}, {"decoded", tokenizer.decode(*ids, true)}};
}

Json render(const Json& request, const lazyfill::Tokenizer* tokenizer) {
  const auto chat_template = lazyfill::ChatTemplate::parse(request.at("template").get<std::string>());
  if (!chat_template) return {{"error", chat_template.error().message}};
  lazyfill::ChatTemplate::Context context;
  context.messages_json = text_of(request, "messages");
  context.tools_json = text_of(request, "tools");
  context.variables_json = text_of(request, "variables");
  context.add_generation_prompt = request.value("add_generation_prompt", true);
  context.bos_token = "<s>";
  context.eos_token = "</s>";
  context.now_s = request.value("now_s", int64_t{1});
  const auto chat = chat_template->render(context);
  if (!chat) return {{"error", chat.error().message}};
  Json result = {{"text", chat->text}, {"template_spans", Json::array()}};
  for (const auto& span : chat->template_spans) result["template_spans"].push_back({span.begin, span.end});
  if (tokenizer != nullptr) result.update(tokenize(*tokenizer, *chat));
  return result;
}

}  // namespace

int main(int argc, char** argv) {
  std::ios::sync_with_stdio(false);
  std::unique_ptr<lazyfill::Tokenizer> tokenizer;
  if (argc > 1) {
    const auto file = lazyfill::gguf::File::open(argv[1]);
    auto made = file ? lazyfill::Tokenizer::from_gguf(*file) : tl::unexpected(file.error());
    if (!made) {
      std::cerr << "template_tool: " << made.error().message << "\n";
      return 1;
    }
    tokenizer = std::move(*made);
  }
  for (std::string line; std::getline(std::cin, line);) {
    const Json request = Json::parse(line, nullptr, false);
    if (request.is_discarded() || !request.contains("template")) {
      std::cerr << "template_tool: a line is no JSON object with a template\n";
      return 1;
    }
    std::cout << render(request, tokenizer.get()).dump(-1, ' ', true) << "\n";
  }
  return 0;
}
