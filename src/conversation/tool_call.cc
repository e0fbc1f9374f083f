#include "conversation/tool_call.h"

#include <algorithm>
#include <cctype>
#include <nlohmann/json.hpp>

#include "conversation/json_scanner.h"

namespace lazyfill {
namespace {

using Json = nlohmann::json;
using State = CallReader::State;

constexpr std::string_view kHermesMark = "<tool_call>";
constexpr std::string_view kHermesEnd = "</tool_call>";
constexpr std::string_view kFunctionMark = "<function=";
constexpr std::string_view kMistralMark = "[TOOL_CALLS]";
constexpr std::string_view kLlamaMark = "<|python_tag|>";
constexpr size_t kLongestName = 256;

// Of a valid JSON string as it is written.
std::string unquoted(std::string_view text) {
  return Json::parse(text, nullptr, false).get<std::string>();
}

// What stands for arguments as an object; empty: it is none.
std::string object_of(std::string_view arguments) {
  if (arguments.empty() || arguments == "null") return "{}";
  if (arguments.front() == '{') return std::string(arguments);
  if (arguments.front() != '"') return {};
  std::string text = unquoted(arguments);
  const size_t begin = text.find_first_not_of(" \t\r\n");
  if (begin == std::string::npos) return "{}";
  return text[begin] == '{' && Json::accept(text) ? text : std::string();
}

// {"name": ..., "arguments": ...}, or the same within {"type": "function", "function": ...}.
bool add_call(std::string_view object, bool needs_arguments, bool may_be_wrapped,
              std::vector<ToolCall>& calls) {
  if (object.front() != '{') return false;
  std::string_view name;
  std::string_view arguments;
  for (const JsonMember& member : json_members(object)) {
    if (member.key == "name") name = member.value;
    if (member.key == "arguments" || member.key == "parameters") arguments = member.value;
    if (member.key != "function") continue;
    if (member.value.front() == '{')
      return may_be_wrapped && add_call(member.value, needs_arguments, false, calls);
    if (name.empty()) name = member.value;
  }
  if (name.size() < 3 || name.front() != '"' || (needs_arguments && arguments.empty())) return false;
  ToolCall call{unquoted(name), object_of(arguments)};
  if (call.arguments.empty()) return false;
  calls.push_back(std::move(call));
  return true;
}

// <tool_call>JSON</tool_call>; the end may be missing. Or the other form of a call within the same.
class HermesReader : public CallReader {
 public:
  explicit HermesReader(const TextParameters& parameters) : parameters_(parameters) {}

  State finish() override {
    if (other_) return take(other_->finish());
    used_ = n_read();  // half an end too
    return calls_so_far();
  }

 private:
  State read(char c) override {
    if (other_) return take(other_->push(c));
    if (used_ > 0) {
      const auto state = end_.push(c);
      if (state == WordReader::State::kFound) used_ = n_read();
      return state == WordReader::State::kMore ? State::kMore : State::kCalls;
    }
    if (json_.empty() && is_blank(c)) return State::kMore;
    if (json_.empty() && c == '<') {
      n_before_ = n_read() - 1;
      other_ = read_marked_up_call("", parameters_);
      return take(other_->push(c));
    }
    json_ += c;
    const auto state = scanner_.push(c);
    if (state == JsonScanner::State::kMore) return State::kMore;
    if (state == JsonScanner::State::kBroken || !add_json_calls(json_, false, calls_)) return State::kNoCall;
    used_ = n_read();
    return State::kMore;
  }

  State take(State state) {
    if (state == State::kCalls) {
      calls_ = other_->calls();
      used_ = n_before_ + other_->used();
    }
    return state;
  }

  const TextParameters& parameters_;
  JsonScanner scanner_;
  std::string json_;
  WordReader end_{{kHermesEnd}};
  std::unique_ptr<CallReader> other_;
  size_t n_before_ = 0;  // characters before those of the other
};

// [TOOL_CALLS]JSON, or [TOOL_CALLS]name[ARGS]JSON, with [CALL_ID]id between them or no [ARGS] at all.
class MistralReader : public CallReader {
 public:
  State finish() override { return State::kNoCall; }

 private:
  enum class Phase { kBegin, kName, kTag, kId, kArguments, kJson };

  State read(char c) override {
    switch (phase_) {
      case Phase::kBegin:
        if (is_blank(c)) return State::kMore;
        if (c == '[' || c == '{') return read_json(c);
        phase_ = Phase::kName;
        [[fallthrough]];
      case Phase::kName:
        if (c == '{' && !name_.empty()) return read_json(c);
        if (c == '[' && !name_.empty()) return read_tag(c);
        if (!is_of_name(c) || name_.size() == kLongestName) return State::kNoCall;
        name_ += c;
        return State::kMore;
      case Phase::kTag:
        return read_tag(c);
      case Phase::kId:
        if (c == '[') return read_tag(c);
        return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '_' ? State::kMore
                                                                                        : State::kNoCall;
      case Phase::kArguments:
        if (is_blank(c)) return State::kMore;
        return c == '{' ? read_json(c) : State::kNoCall;
      case Phase::kJson:
        return read_json(c);
    }
    return State::kNoCall;
  }

  State read_tag(char c) {
    phase_ = Phase::kTag;
    const auto state = tag_.push(c);
    if (state != WordReader::State::kFound)
      return state == WordReader::State::kMore ? State::kMore : State::kNoCall;
    phase_ = tag_.word() == "[ARGS]" ? Phase::kArguments : Phase::kId;
    tag_ = WordReader({"[ARGS]"});
    return State::kMore;
  }

  State read_json(char c) {
    phase_ = Phase::kJson;
    json_ += c;
    const auto state = scanner_.push(c);
    if (state == JsonScanner::State::kMore) return State::kMore;
    if (state == JsonScanner::State::kBroken) return State::kNoCall;
    used_ = n_read();
    if (name_.empty()) return add_json_calls(json_, false, calls_) ? State::kCalls : State::kNoCall;
    if (!Json::accept(json_)) return State::kNoCall;
    calls_.push_back({name_, json_});
    return State::kCalls;
  }

  Phase phase_ = Phase::kBegin;
  WordReader tag_{{"[ARGS]", "[CALL_ID]"}};
  JsonScanner scanner_;
  std::string name_;
  std::string json_;
};

}  // namespace

bool is_blank(char c) {
  return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

bool is_of_name(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || static_cast<unsigned char>(c) >= 0x80 ||
         (c != '\0' && std::string_view("_-.:/").find(c) != std::string_view::npos);
}

WordReader::State WordReader::push(char c) {
  if (word_.empty() && is_blank(c)) return State::kMore;
  word_ += c;
  for (const std::string_view word : words_) {
    if (word == word_) return State::kFound;
    if (word.starts_with(word_)) return State::kMore;
  }
  return State::kOther;
}

bool add_json_calls(std::string_view json, bool needs_arguments, std::vector<ToolCall>& calls) {
  if (!Json::accept(json)) return false;
  if (json.front() == '{') return add_call(json, needs_arguments, true, calls);
  const auto elements = json_elements(json);
  return !elements.empty() && std::all_of(elements.begin(), elements.end(), [&](std::string_view element) {
    return add_call(element, needs_arguments, true, calls);
  });
}

std::vector<std::string_view> call_marks(ToolSyntax syntax) {
  switch (syntax) {
    case ToolSyntax::kNone:
      return {};
    case ToolSyntax::kHermes:
      return {kHermesMark};
    case ToolSyntax::kQwenCoder:
      return {kHermesMark, kFunctionMark};
    case ToolSyntax::kLlama3:
      return {kLlamaMark};
    case ToolSyntax::kMistral:
      return {kMistralMark};
  }
  return {};
}

std::unique_ptr<CallReader> read_calls(std::string_view mark, const TextParameters& parameters) {
  if (mark == kFunctionMark) return read_marked_up_call(mark, parameters);
  if (mark == kLlamaMark) return read_tagged_calls();
  if (mark == kMistralMark) return std::make_unique<MistralReader>();
  return std::make_unique<HermesReader>(parameters);
}

}  // namespace lazyfill
