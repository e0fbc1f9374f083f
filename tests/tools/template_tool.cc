// Renders chat templates for the comparison with Python's jinja2 (tests/python/test_templates.py).
//
// Each line of standard input is {"template": text, "messages": [...], "tools": [...] or null, "variables":
// {...}, "add_generation_prompt": flag, "now_s": seconds}, all but the first optional; each line of standard
// output is
// {"text": rendered} or {"error": sentence}.
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>

#include "tokenizer/chat_template.h"

namespace {

using Json = nlohmann::ordered_json;

std::string text_of(const Json& request, const char* key) {
  const auto found = request.find(key);
  return found == request.end() || found->is_null() ? std::string() : found->dump();
}

Json render(const Json& request) {
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
  const auto text = chat_template->render(context);
  if (!text) return {{"error", text.error().message}};
  return {{"text", *text}};
}

}  // namespace

int main() {
  std::ios::sync_with_stdio(false);
  for (std::string line; std::getline(std::cin, line);) {
    const Json request = Json::parse(line, nullptr, false);
    if (request.is_discarded() || !request.contains("template")) {
      std::cerr << "template_tool: a line is no JSON object with a template\n";
      return 1;
    }
    std::cout << render(request).dump(-1, ' ', true) << "\n";
  }
  return 0;
}
