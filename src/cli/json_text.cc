#include "cli/json_text.h"

#include <algorithm>
#include <cstdint>

#include "cli/text.h"

namespace lazyfill::cli {
namespace {

using Json = nlohmann::ordered_json;

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// Goes over values without making anything of them. Every function is false where the text is not JSON.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  size_t at() const { return at_; }
  void spaces() {
    while (at_ < text_.size() &&
           (text_[at_] == ' ' || text_[at_] == '\t' || text_[at_] == '\n' || text_[at_] == '\r'))
      ++at_;
  }
  bool take(char c) {
    if (at_ == text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  bool string() {
    if (!take('"')) return false;
    for (; at_ < text_.size(); ++at_) {
      const auto c = static_cast<unsigned char>(text_[at_]);
      if (c == '"') return take('"');
      if (c < 0x20) return false;
      if (c == '\\' && !escape()) return false;
    }
    return false;
  }
  // A value of any depth, without recursion: strangers write these.
  bool value() {
    std::string open;  // the brackets that are
    do {
      spaces();
      if (at_ == text_.size()) return false;
      const char c = text_[at_];
      if (c == '{' || c == '[') {
        ++at_;
        spaces();
        if (!take(c == '{' ? '}' : ']')) {
          open += c;
          if (c == '{' && !name()) return false;
          continue;
        }
      } else if (!scalar()) {
        return false;
      }
      if (!after_value(open)) return false;
    } while (!open.empty());
    return true;
  }
  bool name() {
    spaces();
    if (!string()) return false;
    spaces();
    return take(':');
  }

 private:
  // Closes what ends here, up to a comma with the next value (or member) behind it, or the end of all.
  bool after_value(std::string& open) {
    while (!open.empty()) {
      spaces();
      if (take(',')) return open.back() == '[' || name();
      if (!take(open.back() == '{' ? '}' : ']')) return false;
      open.pop_back();
    }
    return true;
  }
  bool escape() {  // at the backslash; ends on its last character
    if (++at_ == text_.size()) return false;
    if (text_[at_] != 'u') return std::string_view("\"\\/bfnrt").find(text_[at_]) != std::string_view::npos;
    for (int i = 0; i < 4; ++i) {
      if (++at_ == text_.size() ||
          std::string_view("0123456789abcdefABCDEF").find(text_[at_]) == std::string_view::npos)
        return false;
    }
    return true;
  }
  bool digits() {
    const size_t first = at_;
    while (at_ < text_.size() && is_digit(text_[at_])) ++at_;
    return at_ > first;
  }
  bool number() {
    take('-');
    if (!take('0') && !digits()) return false;
    if (take('.') && !digits()) return false;
    if (!take('e') && !take('E')) return true;
    if (!take('+')) take('-');
    return digits();
  }
  bool scalar() {
    if (text_[at_] == '"') return string();
    for (const std::string_view word : {"true", "false", "null"}) {
      if (!text_.substr(at_).starts_with(word)) continue;
      at_ += word.size();
      return true;
    }
    return number();
  }

  std::string_view text_;
  size_t at_ = 0;
};

}  // namespace

TextPosition position_of(std::string_view text, size_t byte) {
  const std::string_view before = text.substr(0, std::min(byte, text.size()));
  const size_t line_begin = before.rfind('\n') + 1;  // npos + 1 is 0
  const std::string_view line = before.substr(line_begin);
  const auto is_first_byte = [](char c) { return (static_cast<uint8_t>(c) & 0xC0) != 0x80; };
  return {1 + static_cast<size_t>(std::count(before.begin(), before.end(), '\n')),
          1 + static_cast<size_t>(std::count_if(line.begin(), line.end(), is_first_byte))};
}

std::string position_text(const TextPosition& position) {
  return "line " + std::to_string(position.line) + ", column " + std::to_string(position.column);
}

tl::expected<Json, JsonFault> parse_json(std::string_view text) {
  try {
    return Json::parse(text);
  } catch (const Json::parse_error& error) {
    // "[...] parse error at line 1, column 8: syntax error while parsing value - invalid literal; last read:
    // ..."
    std::string reason = error.what();
    if (const size_t dash = reason.rfind(" - "); dash != std::string::npos) reason.erase(0, dash + 3);
    if (const size_t last = reason.find("; last read"); last != std::string::npos) reason.erase(last);
    return tl::unexpected(JsonFault{error.byte == 0 ? 0 : error.byte - 1, printable(reason)});
  } catch (const Json::exception& error) {  // a number that no double holds
    return tl::unexpected(JsonFault{0, "it holds a number that is too large"});
  }
}

Result<Json> parse_json(std::string_view text, const std::string& what) {
  auto value = parse_json(text);
  if (value) return std::move(*value);
  return fail(ErrorCode::kInvalidFile, what + " is no JSON at " +
                                           position_text(position_of(text, value.error().byte)) + ": " +
                                           value.error().reason);
}

std::vector<JsonSpan> json_spans(std::string_view text) {
  std::vector<JsonSpan> spans;
  Scanner scan(text);
  scan.spaces();
  const bool is_object = scan.take('{');
  if (!is_object && !scan.take('[')) return spans;
  do {
    JsonSpan span;
    scan.spaces();
    if (is_object) {
      const size_t begin = scan.at();
      if (!scan.name()) break;
      const size_t end = text.substr(0, scan.at() - 1).rfind('"') + 1;
      const auto name = Json::parse(text.substr(begin, end - begin), nullptr, false);
      span.name = name.is_string() ? name.get<std::string>() : std::string();
      scan.spaces();
    }
    span.begin = scan.at();
    if (!scan.value()) break;
    span.end = scan.at();
    spans.push_back(std::move(span));
    scan.spaces();
  } while (scan.take(','));
  return spans;
}

}  // namespace lazyfill::cli
