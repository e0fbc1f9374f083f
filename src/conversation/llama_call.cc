#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <optional>

#include "conversation/json_scanner.h"
#include "conversation/tool_call.h"

namespace lazyfill {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kCall = ".call(";

std::string quoted(std::string_view text) {
  return Json(text).dump(-1, ' ', false, Json::error_handler_t::replace);
}

// `NAME="`, at the beginning of the text; empty: it does not begin so.
std::string_view parameter_at(std::string_view text) {
  size_t n = 0;
  while (n < text.size() && is_of_name(text[n])) ++n;
  return n > 0 && text.substr(n).starts_with("=\"") ? text.substr(0, n) : std::string_view();
}

// NAME.call(x="...", y="..."): the values are not escaped, so one ends where another parameter or the end
// follows its quotation mark.
std::optional<ToolCall> built_in_call(std::string_view text) {
  const size_t call = text.find(kCall);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  if (call == 0 || call == std::string_view::npos || !text.ends_with(')')) return std::nullopt;
  std::string_view rest = text.substr(call + kCall.size());
  rest.remove_suffix(1);
  std::string arguments = "{";
  while (!rest.empty()) {
    const std::string_view parameter = parameter_at(rest);
    if (parameter.empty()) return std::nullopt;
    rest.remove_prefix(parameter.size() + 2);
    size_t end = rest.find('"');
    while (end != std::string_view::npos && end + 1 < rest.size() &&
           !(rest.substr(end + 1).starts_with(", ") && !parameter_at(rest.substr(end + 3)).empty()))
      end = rest.find('"', end + 1);
    if (end == std::string_view::npos) return std::nullopt;
    arguments += (arguments.size() > 1 ? ", " : "") + quoted(parameter) + ": " + quoted(rest.substr(0, end));
    rest.remove_prefix(std::min(rest.size(), end + 3));
  }
  return ToolCall{std::string(text.substr(0, call)), arguments + "}"};
}

// One JSON object after another, with semicolons between them. Without the tag they are calls only where
// they are all that there is.
class LlamaReader : public CallReader {
 public:
  explicit LlamaReader(bool is_tagged) : is_tagged_(is_tagged) {}

  State finish() override {
    if (phase_ == Phase::kBetween) used_ = n_read();
    if (phase_ == Phase::kBetween || is_tagged_) {
      if (!calls_.empty()) return State::kCalls;
    }
    if (phase_ != Phase::kBuiltIn) return State::kNoCall;
    auto call = built_in_call(text_);
    if (!call) return State::kNoCall;
    calls_.push_back(std::move(*call));
    used_ = n_read();
    return State::kCalls;
  }

 private:
  enum class Phase { kBetween, kJson, kBuiltIn };

  State read(char c) override {
    switch (phase_) {
      case Phase::kBetween:
        if (is_blank(c) || (c == ';' && !calls_.empty())) return State::kMore;
        if (c == '{') {
          phase_ = Phase::kJson;
          scanner_ = JsonScanner();
          text_.clear();
          return read_json(c);
        }
        if (!is_tagged_ || !calls_.empty() || !is_of_name(c)) return other();
        phase_ = Phase::kBuiltIn;
        [[fallthrough]];
      case Phase::kBuiltIn:
        return read_built_in(c);
      case Phase::kJson:
        return read_json(c);
    }
    return State::kNoCall;
  }

  State read_json(char c) {
    text_ += c;
    const auto state = scanner_.push(c);
    if (state == JsonScanner::State::kBroken) return other();
    // An answer in JSON that is no call need not be held back to its end.
    if (c == ':' && calls_.empty() && !is_tagged_ && !std::exchange(has_key_, true) && !can_be_key())
      return State::kNoCall;
    if (state == JsonScanner::State::kMore) return State::kMore;
    if (!add_json_calls(text_, !is_tagged_, calls_)) return other();
    used_ = n_read();
    phase_ = Phase::kBetween;
    return State::kMore;
  }

  // The letters of a name, and ".call(".
  State read_built_in(char c) {
    text_ += c;
    if (has_key_) return State::kMore;
    if (text_.ends_with(kCall)) has_key_ = true;
    return is_of_name(c) || has_key_ ? State::kMore : State::kNoCall;
  }

  State other() const { return is_tagged_ ? calls_so_far() : State::kNoCall; }

  bool can_be_key() const {
    constexpr std::array<std::string_view, 6> kKeys = {"name",       "type",      "function",
                                                       "parameters", "arguments", "id"};
    const size_t begin = text_.find('"') + 1;
    const std::string_view key = std::string_view(text_).substr(begin, text_.find('"', begin) - begin);
    return std::find(kKeys.begin(), kKeys.end(), key) != kKeys.end();
  }

  const bool is_tagged_;
  Phase phase_ = Phase::kBetween;
  JsonScanner scanner_;
  std::string text_;      // of the object or the call that is being read
  bool has_key_ = false;  // the first one's first key is known, or the end of the call's name
};

}  // namespace

std::unique_ptr<CallReader> read_bare_calls() {
  return std::make_unique<LlamaReader>(false);
}

std::unique_ptr<CallReader> read_tagged_calls() {
  return std::make_unique<LlamaReader>(true);
}

}  // namespace lazyfill
