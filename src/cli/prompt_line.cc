#include "cli/prompt_line.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "cli/json_text.h"
#include "cli/messages.h"

namespace lazyfill::cli {
namespace {

using Json = nlohmann::ordered_json;

tl::unexpected<LineFault> wrong(std::string sentence, size_t byte = 0) {
  return tl::unexpected(LineFault{{ErrorCode::kInvalidFile, std::move(sentence)}, byte});
}

// The members of a line, each with its place. Of a name that is there twice the last counts.
class Line {
 public:
  Line(const Json& object, const std::vector<JsonSpan>& spans) : object_(object), spans_(spans) {}

  tl::expected<std::string, LineFault> text(const char* key) const {
    const auto found = object_.find(key);
    if (found == object_.end()) return std::string();
    if (!found->is_string()) return wrong(std::string("has no text \"") + key + '"', place(key).begin);
    auto text = found->get<std::string>();
    if (text.empty()) return wrong(std::string("has an empty \"") + key + '"', place(key).begin);
    return text;
  }

  tl::expected<std::vector<std::string>, LineFault> texts(const char* key) const {
    std::vector<std::string> texts;
    const auto found = object_.find(key);
    if (found == object_.end()) return texts;
    const std::string sentence = std::string("has no list of texts \"") + key + '"';
    if (!found->is_array()) return wrong(sentence, place(key).begin);
    for (const Json& item : *found) {
      if (!item.is_string() || item.get_ref<const std::string&>().empty())
        return wrong(sentence, place(key).begin);
      texts.push_back(item.get<std::string>());
    }
    return texts;
  }

  bool has(const char* key) const { return object_.contains(key); }
  JsonSpan place(const char* key) const {
    JsonSpan place;
    for (const JsonSpan& span : spans_) {
      if (span.name == key) place = span;
    }
    return place;
  }

 private:
  const Json& object_;
  const std::vector<JsonSpan>& spans_;
};

// What the kinds of lines may hold together.
tl::expected<void, LineFault> check_kind(const PromptLine& line) {
  if (line.document.empty() != line.questions.empty())
    return wrong("needs both, a \"document\" and a list of \"questions\"");
  const size_t n_kinds = (line.prompt.empty() ? 0U : 1U) + (line.messages.empty() ? 0U : 1U);
  if (!line.document.empty() && (n_kinds > 0 || !line.continuation.empty()))
    return wrong("has a \"document\": leave \"prompt\", \"messages\" and \"continuation\" out");
  if (n_kinds > 1) return wrong("has \"prompt\" and \"messages\": leave one out");
  if (line.document.empty() && n_kinds == 0) return wrong("has no text \"prompt\"");
  return {};
}

tl::expected<PromptLine, LineFault> read_members(const Line& line, std::string_view text) {
  PromptLine parsed;
  struct Text {
    const char* key;
    std::string& target;
  };
  for (const Text& member : {Text{"prompt", parsed.prompt}, Text{"continuation", parsed.continuation},
                             Text{"document", parsed.document}}) {
    auto read = line.text(member.key);
    if (!read) return tl::unexpected(read.error());
    member.target = std::move(*read);
  }
  auto questions = line.texts("questions");
  if (!questions) return tl::unexpected(questions.error());
  parsed.questions = std::move(*questions);
  auto flags = line.texts("flags");
  if (!flags) return tl::unexpected(flags.error());
  parsed.flags = std::move(*flags);
  parsed.flags_byte = line.place("flags").begin;
  if (line.has("messages")) {
    const JsonSpan place = line.place("messages");
    parsed.messages = text.substr(place.begin, place.end - place.begin);
    const MessagesFault fault = find_fault_in_messages(parsed.messages);
    if (!fault.sentence.empty())
      return wrong("has \"messages\" that cannot be used: the value " + fault.sentence,
                   place.begin + fault.byte);
  }
  if (auto checked = check_kind(parsed); !checked) return tl::unexpected(checked.error());
  return parsed;
}

}  // namespace

ParsedLine parse_prompt_line(std::string_view line) {
  const std::vector<JsonSpan> spans = json_spans(line);
  std::string without_id(line);  // so that no kind of id can spoil the rest; places stay
  std::string id;
  for (const JsonSpan& span : spans) {
    if (span.name != "id") continue;
    id = line.substr(span.begin, span.end - span.begin);
    std::fill_n(without_id.begin() + static_cast<ptrdiff_t>(span.begin), id.size(), ' ');
    without_id[span.begin] = '0';
  }
  const auto value = parse_json(without_id);
  if (!value) return {id, wrong("is no JSON object: " + value.error().reason, value.error().byte)};
  if (!value->is_object()) return {"", wrong("is no JSON object")};
  return {id, read_members(Line(*value, spans), line)};
}

}  // namespace lazyfill::cli
