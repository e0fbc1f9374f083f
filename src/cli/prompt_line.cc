#include "cli/prompt_line.h"

namespace lazyfill::cli {
namespace {

using Json = nlohmann::ordered_json;

Result<std::string> optional_text(const Json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end()) return std::string();
  if (!found->is_string()) return fail(ErrorCode::kInvalidFile, std::string("has no text \"") + key + '"');
  auto text = found->get<std::string>();
  if (text.empty()) return fail(ErrorCode::kInvalidFile, std::string("has an empty \"") + key + '"');
  return text;
}

Result<std::vector<std::string>> optional_texts(const Json& object, const char* key) {
  std::vector<std::string> texts;
  const auto found = object.find(key);
  if (found == object.end()) return texts;
  const std::string sentence = std::string("has no list of texts \"") + key + '"';
  if (!found->is_array()) return fail(ErrorCode::kInvalidFile, sentence);
  for (const Json& item : *found) {
    if (!item.is_string() || item.get_ref<const std::string&>().empty())
      return fail(ErrorCode::kInvalidFile, sentence);
    texts.push_back(item.get<std::string>());
  }
  return texts;
}

}  // namespace

Result<PromptLine> parse_prompt_line(const std::string& line) {
  const auto value = Json::parse(line, nullptr, false);
  if (value.is_discarded() || !value.is_object()) return fail(ErrorCode::kInvalidFile, "is no JSON object");
  PromptLine parsed;
  struct Text {
    const char* key;
    std::string& target;
  };
  for (const Text& text : {Text{"prompt", parsed.prompt}, Text{"continuation", parsed.continuation},
                           Text{"document", parsed.document}}) {
    auto read = optional_text(value, text.key);
    if (!read) return tl::unexpected(read.error());
    text.target = std::move(*read);
  }
  auto questions = optional_texts(value, "questions");
  if (!questions) return tl::unexpected(questions.error());
  parsed.questions = std::move(*questions);
  auto flags = optional_texts(value, "flags");
  if (!flags) return tl::unexpected(flags.error());
  parsed.flags = std::move(*flags);
  if (parsed.document.empty() != parsed.questions.empty())
    return fail(ErrorCode::kInvalidFile, "needs both, a \"document\" and a list of \"questions\"");
  if (parsed.document.empty() && parsed.prompt.empty())
    return fail(ErrorCode::kInvalidFile, "has no text \"prompt\"");
  if (!parsed.document.empty() && !(parsed.prompt.empty() && parsed.continuation.empty()))
    return fail(ErrorCode::kInvalidFile, "has a \"document\": leave \"prompt\" and \"continuation\" out");
  if (const auto id = value.find("id"); id != value.end() && id->is_primitive()) parsed.id = *id;
  return parsed;
}

}  // namespace lazyfill::cli
