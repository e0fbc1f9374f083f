#include "tokenizer/jinja/lexer.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <optional>

#include "tokenizer/jinja/text_functions.h"
#include "tokenizer/utf8.h"

namespace lazyfill::jinja {
namespace {

bool is_name_start(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}
bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_octal(char c) {
  return c >= '0' && c <= '7';
}
bool is_hex(char c) {
  return is_digit(c) || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
}
bool is_blank(std::string_view text) {
  return stripped(text, Side::kLeft, nullptr).empty();
}

// Line ends become "\n", and one at the very end goes.
std::string normalized(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r') {
      out += '\n';
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    } else {
      out += source[i];
    }
  }
  if (out.ends_with('\n')) out.pop_back();
  return out;
}

class Lexer {
 public:
  explicit Lexer(std::string source) : source_(std::move(source)) {}

  Result<std::vector<Token>> run() {
    while (position_ < source_.size() && !error_) read_text();
    if (error_) return tl::unexpected(*error_);
    push(Token::Type::kEnd, "");
    return std::move(tokens_);
  }

 private:
  // Text up to the next tag, then the tag.
  void read_text() {
    size_t tag = source_.find('{', position_);
    while (tag != std::string::npos && !is_tag(tag)) tag = source_.find('{', tag + 1);
    if (tag == std::string::npos) tag = source_.size();
    std::string text = source_.substr(position_, tag - position_);
    const size_t n_lines = count_lines(position_, tag);
    if (tag < source_.size()) strip_before(tag, text);
    if (!text.empty()) push(Token::Type::kText, std::move(text));
    line_ += n_lines;
    position_ = tag;
    if (tag < source_.size()) read_tag();
  }

  bool is_tag(size_t at) const {
    const char next = at + 1 < source_.size() ? source_[at + 1] : '\0';
    return next == '{' || next == '%' || next == '#';
  }

  void strip_before(size_t tag, std::string& text) const {
    const char sign = tag + 2 < source_.size() ? source_[tag + 2] : '\0';
    if (sign == '-') {
      text.resize(stripped(text, Side::kRight, nullptr).size());
    } else if (sign != '+' && source_[tag + 1] != '{') {
      const size_t newline = text.rfind('\n');
      const bool at_line_start = newline != std::string::npos || line_starting_;
      const size_t line_begin = newline == std::string::npos ? 0 : newline + 1;
      if (at_line_start && is_blank(std::string_view(text).substr(line_begin))) text.resize(line_begin);
    }
  }

  void read_tag() {
    const char kind = source_[position_ + 1];
    position_ += 2;
    if (kind == '#') return read_comment();
    if (position_ < source_.size() && (source_[position_] == '-' || source_[position_] == '+')) ++position_;
    if (kind == '%' && try_raw()) return;
    push(kind == '{' ? Token::Type::kOutputBegin : Token::Type::kBlockBegin, "");
    read_code(kind == '{' ? "}}" : "%}");
  }

  void read_comment() {
    const size_t end = source_.find("#}", position_);
    if (end == std::string::npos) return fail_here("a comment is not closed");
    line_ += count_lines(position_, end);
    const char sign = end > position_ ? source_[end - 1] : '\0';
    position_ = end + 2;
    skip_after(sign, true);
  }

  // {% raw %} ... {% endraw %}
  bool try_raw() {
    size_t at = skip_blanks(position_);
    if (source_.compare(at, 3, "raw") != 0) return false;
    at = skip_blanks(at + 3);
    const char sign = at < source_.size() ? source_[at] : '\0';
    if (sign == '-') ++at;
    if (source_.compare(at, 2, "%}") != 0) return false;
    line_ += count_lines(position_, at);
    position_ = at + 2;
    skip_after(sign == '-' ? sign : '\0', false);
    for (size_t tag = source_.find("{%", position_); tag != std::string::npos;
         tag = source_.find("{%", tag + 2)) {
      size_t name = tag + 2;
      if (name < source_.size() && (source_[name] == '-' || source_[name] == '+')) ++name;
      name = skip_blanks(name);
      if (source_.compare(name, 6, "endraw") != 0) continue;
      name = skip_blanks(name + 6);
      const char end_sign = name < source_.size() ? source_[name] : '\0';
      if (end_sign == '-' || end_sign == '+') ++name;
      if (source_.compare(name, 2, "%}") != 0) continue;
      std::string text = source_.substr(position_, tag - position_);
      strip_before(tag, text);
      if (!text.empty()) push(Token::Type::kText, std::move(text));
      line_ += count_lines(position_, name);
      position_ = name + 2;
      skip_after(end_sign, true);
      return true;
    }
    fail_here("a raw block is not closed");
    return true;
  }

  size_t skip_blanks(size_t at) const {
    return source_.size() - stripped(std::string_view(source_).substr(at), Side::kLeft, nullptr).size();
  }

  // What follows a closed tag: all whitespace after "-", one line break after a block or a comment.
  void skip_after(char sign, bool is_block) {
    const size_t begin = position_;
    if (sign == '-') {
      position_ = skip_blanks(position_);
    } else if (sign != '+' && is_block && position_ < source_.size() && source_[position_] == '\n') {
      ++position_;
    }
    line_ += count_lines(begin, position_);
    line_starting_ = position_ > begin && source_[position_ - 1] == '\n';
  }

  void read_code(std::string_view closing) {
    std::vector<char> brackets;
    while (!error_) {
      const size_t at = skip_blanks(position_);
      line_ += count_lines(position_, at);
      position_ = at;
      if (at >= source_.size()) return fail_here("a tag is not closed");
      if (brackets.empty()) {
        const char sign = source_[at];
        const bool has_sign = sign == '-' || (sign == '+' && closing == "%}");
        if (source_.compare(at + (has_sign ? 1 : 0), 2, closing) == 0) {
          push(closing == "}}" ? Token::Type::kOutputEnd : Token::Type::kBlockEnd, "");
          position_ = at + (has_sign ? 3 : 2);
          return skip_after(has_sign ? sign : '\0', closing == "%}");
        }
      }
      read_token(brackets);
    }
  }

  void read_token(std::vector<char>& brackets) {
    const char c = source_[position_];
    if (name_character(position_) > 0 && !is_digit(c)) return read_name();
    if (is_digit(c)) return read_number();
    if (c == '\'' || c == '"') return read_string(c);
    constexpr std::array<std::string_view, 6> kDouble{"//", "**", "==", "!=", ">=", "<="};
    const auto found = std::find(kDouble.begin(), kDouble.end(), source_.substr(position_, 2));
    const std::string_view text =
        found != kDouble.end() ? *found : std::string_view(source_).substr(position_, 1);
    if (text.size() == 1 && std::string_view("+-*/%~()[]{}<>=.:|,").find(c) == std::string_view::npos) {
      return fail_here("a character is not part of the template language");
    }
    if (c == '(' || c == '[' || c == '{') brackets.push_back(c == '(' ? ')' : c == '[' ? ']' : '}');
    if (c == ')' || c == ']' || c == '}') {
      if (brackets.empty() || brackets.back() != c)
        return fail_here("a bracket is closed that was not opened");
      brackets.pop_back();
    }
    push(Token::Type::kOperator, std::string(text));
    position_ += text.size();
  }

  // Bytes of the character at a place, if it can stand in a name; else 0.
  size_t name_character(size_t at) const {
    if (at >= source_.size()) return 0;
    if (static_cast<unsigned char>(source_[at]) < 0x80)
      return is_name_start(source_[at]) || is_digit(source_[at]) ? 1 : 0;
    const utf8::Decoded c = utf8::decode(source_, at);
    return utf8::is_letter(c.code_point) || is_decimal(c.code_point) ? c.n_bytes : 0;
  }

  void read_name() {
    const size_t begin = position_;
    while (const size_t n_bytes = name_character(position_)) position_ += n_bytes;
    push(Token::Type::kName, source_.substr(begin, position_ - begin));
  }

  void read_number() {
    std::string digits;
    bool is_float = false;
    const bool after_dot =
        position_ > 0 && source_[position_ - 1] == '.';  // x.1.0 takes items, it is no fraction
    const auto at = [&](size_t offset) {
      return position_ + offset < source_.size() ? source_[position_ + offset] : '\0';
    };
    const auto read_digits = [&] {
      while (is_digit(at(0)) || (at(0) == '_' && is_digit(at(1)))) {
        if (at(0) != '_') digits += at(0);
        ++position_;
      }
    };
    const char kind = at(0) == '0' ? static_cast<char>(at(1) | 0x20) : '\0';
    if (kind == 'x' || kind == 'o' || kind == 'b') {
      const auto belongs = [kind](char c) {
        return kind == 'x' ? is_hex(c) : kind == 'o' ? is_octal(c) : c == '0' || c == '1';
      };
      size_t n = 2;
      while (belongs(at(n)) || (at(n) == '_' && belongs(at(n + 1)))) ++n;
      if (n > 2) {
        push(Token::Type::kInteger, source_.substr(position_, n));
        position_ += n;
        return;
      }
    }
    read_digits();
    if (!after_dot && at(0) == '.' && is_digit(at(1))) {
      is_float = true;
      digits += '.';
      ++position_;
      read_digits();
    }
    const bool has_sign = at(1) == '+' || at(1) == '-';
    if (!after_dot && (at(0) == 'e' || at(0) == 'E') && is_digit(at(has_sign ? 2 : 1))) {
      is_float = true;
      digits.append(source_, position_, has_sign ? 2 : 1);
      position_ += has_sign ? 2 : 1;
      read_digits();
    }
    if (!is_float && digits[0] == '0' && digits.find_first_not_of('0') != std::string::npos)
      return fail_here("a whole number begins with zero");
    push(is_float ? Token::Type::kFloat : Token::Type::kInteger, digits);
  }

  void read_string(char quote) {
    const size_t first_line = line_;
    std::string text;
    for (++position_; position_ < source_.size() && source_[position_] != quote; ++position_) {
      if (source_[position_] == '\n') ++line_;
      if (source_[position_] == '\\' && position_ + 1 < source_.size()) {
        read_escape(text);
      } else {
        text += source_[position_];
      }
    }
    if (position_ >= source_.size()) return fail_here("a string is not closed");
    ++position_;
    tokens_.push_back({Token::Type::kString, std::move(text), first_line});
  }

  // As in Python; an escape it does not know stays as it is. Leaves the position on the last character read.
  void read_escape(std::string& text) {
    const char c = source_[++position_];
    constexpr std::string_view kFrom = "nrtabfv\\'\"";
    constexpr std::string_view kTo = "\n\r\t\a\b\f\v\\'\"";
    const size_t simple = kFrom.find(c);
    const size_t n_hex = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    if (simple != std::string_view::npos) {
      text += kTo[simple];
    } else if (c == '\n') {
      ++line_;
    } else if (n_hex > 0) {
      char32_t code_point = 0;
      for (size_t i = 1; i <= n_hex; ++i) {
        const char digit = position_ + i < source_.size() ? source_[position_ + i] : '\0';
        const char lower = static_cast<char>(digit | 0x20);
        if (!is_digit(digit) && !(lower >= 'a' && lower <= 'f'))
          return fail_here("an escape in a string is cut short");
        code_point =
            code_point * 16 + static_cast<char32_t>(is_digit(digit) ? digit - '0' : lower - 'a' + 10);
      }
      if (code_point > 0x10FFFF || (code_point >= 0xD800 && code_point < 0xE000)) {
        return fail_here("an escape in a string is not a character");
      }
      utf8::append(text, code_point);
      position_ += n_hex;
    } else if (is_octal(c)) {
      char32_t code_point = 0;
      size_t n = 0;
      for (; n < 3 && position_ + n < source_.size() && is_octal(source_[position_ + n]); ++n)
        code_point = code_point * 8 + static_cast<char32_t>(source_[position_ + n] - '0');
      utf8::append(text, code_point);
      position_ += n - 1;
    } else if (c == 'N') {
      fail_here("characters by their names are not supported in strings");
    } else if (static_cast<unsigned char>(c) >= 0x80) {
      // Python reads the backslash as one and the character as the escape that stands for it in ASCII.
      const utf8::Decoded other = utf8::decode(source_, position_);
      char buffer[16];
      const char* format = other.code_point < 0x100     ? "\\x%02x"
                           : other.code_point < 0x10000 ? "\\u%04x"
                                                        : "\\U%08x";
      std::snprintf(buffer, sizeof(buffer), format, static_cast<unsigned>(other.code_point));
      text += buffer;
      position_ += std::max<size_t>(1, other.n_bytes) - 1;
    } else {
      text += '\\';
      text += c;
    }
  }

  size_t count_lines(size_t begin, size_t end) const {
    return static_cast<size_t>(std::count(source_.begin() + static_cast<std::ptrdiff_t>(begin),
                                          source_.begin() + static_cast<std::ptrdiff_t>(end), '\n'));
  }
  void push(Token::Type type, std::string text) { tokens_.push_back({type, std::move(text), line_}); }
  void fail_here(const std::string& what) {
    if (error_) return;
    error_ = Error{ErrorCode::kUnsupported, "chat template, line " + std::to_string(line_) + ": " + what};
  }

  std::string source_;
  size_t position_ = 0;
  size_t line_ = 1;
  bool line_starting_ = true;
  std::vector<Token> tokens_;
  std::optional<Error> error_;
};

}  // namespace

Result<std::vector<Token>> tokenize(std::string_view source) {
  return Lexer(normalized(source)).run();
}

}  // namespace lazyfill::jinja
