#include "tokenizer/jinja/formatting.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>

#include "tokenizer/utf8.h"

namespace lazyfill::jinja {
namespace {

int digit_of(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char lower = static_cast<char>(c | 0x20);
  return lower >= 'a' && lower <= 'z' ? lower - 'a' + 10 : 36;
}

// Without "_" between digits; empty when one stands elsewhere.
std::optional<std::string> without_separators(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '_') {
      out += text[i];
    } else if (i == 0 || i + 1 == text.size() || digit_of(text[i - 1]) > 35 || digit_of(text[i + 1]) > 35) {
      return std::nullopt;
    }
  }
  return out;
}

// One conversion of a format: %(name)-05.2f
struct Conversion {
  std::optional<std::string> name;
  std::string flags;
  int width = 0;
  int precision = -1;
  char type = '\0';
};

class PercentFormat {
 public:
  PercentFormat(Interpreter& run, const TextView& format, const Value& values)
      : run_(run), marked_(format), format_(format.bytes()), values_(values), out_(run.text()) {
    if (values.is_kind(List::Kind::kTuple)) {
      positional_ = values.list()->items;
    } else {
      positional_ = {values};
    }
  }

  Value result() {
    while (position_ < format_.size() && !run_.failed()) {
      const size_t percent = std::min(format_.find('%', position_), format_.size());
      out_.append(marked_.substr(position_, percent - position_));
      position_ = percent + 1;
      if (percent < format_.size()) convert(read());
    }
    const bool all_used = n_used_ == positional_.size() || values_.dict() != nullptr ||
                          (values_.list() != nullptr && !values_.is_kind(List::Kind::kTuple));
    if (!run_.failed() && !all_used) run_.fail("not all values of a '%' are used by its format");
    return run_.failed() ? Value() : run_.make(std::move(out_));
  }

 private:
  char current() const { return position_ < format_.size() ? format_[position_] : '\0'; }

  int read_count() {
    int n = 0;
    for (; current() >= '0' && current() <= '9'; ++position_)
      n = std::min(n * 10 + (current() - '0'), 1 << 27);
    return n;
  }

  Conversion read() {
    Conversion conversion;
    if (current() == '(') {
      const size_t end = format_.find(')', position_);
      if (end == std::string_view::npos) {
        run_.fail("a name in a format is not closed");
        return conversion;
      }
      conversion.name = std::string(format_.substr(position_ + 1, end - position_ - 1));
      position_ = end + 1;
    }
    for (; current() != '\0' && std::string_view("-+ 0#").find(current()) != std::string_view::npos;
         ++position_)
      conversion.flags += current();
    conversion.width = read_count();
    if (current() == '.') {
      ++position_;
      conversion.precision = read_count();
    }
    if (current() == 'l' || current() == 'h' || current() == 'L') ++position_;
    conversion.type = current();
    ++position_;
    if (conversion.precision > kMostDigits) run_.fail("a format asks for too many digits");
    if (values_.dict() != nullptr) run_.spend(values_.dict()->items.size());
    run_.spend(1);
    return conversion;
  }

  Value value_of(const Conversion& conversion) {
    if (conversion.name) {
      const Value* found = values_.dict() != nullptr ? values_.dict()->find(*conversion.name) : nullptr;
      return found != nullptr ? *found : run_.fail("a format names a value that is not there");
    }
    if (n_used_ >= positional_.size()) return run_.fail("a format has more places than there are values");
    return positional_[n_used_++];
  }

  void convert(const Conversion& conversion) {
    if (run_.failed()) return;
    if (conversion.type == '%') return put(marked_.substr(position_ - 1, 1), conversion);
    const Value value = value_of(conversion);
    if (run_.failed()) return;
    switch (conversion.type) {
      case 's':
        return put_text(run_.str(value), conversion);
      case 'r': {
        BoundedText text = run_.text();
        append_repr(value, text);
        const Value repr = run_.make(std::move(text));
        return run_.failed() ? void() : put_text(*repr.marked_text(), conversion);
      }
      case 'a':
        return put_text(ascii_repr(run_, value), conversion);
      case 'c':
        return put_character(value, conversion);
      case 'd':
      case 'i':
      case 'u':
        return put_integer(value, conversion);
      case 'x':
      case 'X':
      case 'o':
        return value.integer() ? put_integer(value, conversion) : fail_type();
      case 'e':
      case 'E':
      case 'f':
      case 'F':
      case 'g':
      case 'G':
        return put_float(value, conversion);
      default:
        run_.fail("a format has a conversion that is not supported");
    }
  }

  void fail_type() { run_.fail("a format asks for a number and gets something else"); }

  // A character, or the number of one.
  void put_character(const Value& value, const Conversion& conversion) {
    if (value.text() != nullptr && utf8::length(*value.text()) == 1)
      return put(*value.marked_text(), conversion);
    const auto character = value.integer() ? character_of(*value.integer()) : std::nullopt;
    if (!character) {
      run_.fail("a format asks for a character and gets something else");
      return;
    }
    put(TextView::one_origin(*character, !value.is_said()), conversion);
  }

  void put_text(TextView text, const Conversion& conversion) {
    if (conversion.precision >= 0) text = first_characters(text, static_cast<size_t>(conversion.precision));
    put(text, conversion);
  }

  void put_integer(const Value& value, const Conversion& conversion) {
    std::optional<int64_t> n = value.integer();
    if (!n && value.is_float() && std::abs(*value.number()) < 9.2e18)
      n = static_cast<int64_t>(*value.number());
    if (!n) return fail_type();
    const uint64_t magnitude = *n < 0 ? uint64_t{0} - static_cast<uint64_t>(*n) : static_cast<uint64_t>(*n);
    const char type = conversion.type == 'i' || conversion.type == 'u' ? 'd' : conversion.type;
    const int base = type == 'd' ? 10 : type == 'o' ? 8 : 16;
    char buffer[72];
    const auto end = std::to_chars(buffer, buffer + sizeof(buffer), magnitude, base).ptr;
    std::string digits(buffer, end);
    const auto n_digits = static_cast<size_t>(std::max(conversion.precision, 0));
    if (digits.size() < n_digits) digits = std::string(n_digits - digits.size(), '0') + digits;
    if (has(conversion, '#') && base != 10) digits = (base == 8 ? "0o" : "0x") + digits;
    if (type == 'X') std::transform(digits.begin(), digits.end(), digits.begin(), ::toupper);
    put_number(*n < 0, digits, value.is_said(), conversion);
  }

  void put_float(const Value& value, const Conversion& conversion) {
    if (!value.number()) return fail_type();
    const double number = *value.number();
    const int precision = conversion.precision < 0 ? 6 : conversion.precision;
    const std::string format = std::string(has(conversion, '#') ? "%#.*" : "%.*") + conversion.type;
    char buffer[kMostDigits + 400];
    const int n = std::snprintf(buffer, sizeof(buffer), format.c_str(), precision, std::abs(number));
    put_number(std::signbit(number) && !std::isnan(number), std::string(buffer, static_cast<size_t>(n)),
               value.is_said(), conversion);
  }

  static bool has(const Conversion& conversion, char flag) {
    return conversion.flags.find(flag) != std::string::npos;
  }

  void put_number(bool negative, std::string digits, bool is_said, const Conversion& conversion) {
    std::string sign = negative ? "-" : has(conversion, '+') ? "+" : has(conversion, ' ') ? " " : "";
    const size_t length = sign.size() + digits.size();
    const auto width = static_cast<size_t>(conversion.width);
    if (has(conversion, '0') && !has(conversion, '-') && length < width) {
      const size_t n_prefix = digits.size() > 1 && (digits[1] | 0x20) == 'x' ? 2 : 0;
      digits.insert(n_prefix, width - length, '0');
    }
    put(TextView::one_origin(sign += digits, !is_said), conversion);
  }

  void put(const TextView& text, const Conversion& conversion) {
    const Value value =
        padded(run_, text, conversion.width, " ", has(conversion, '-') ? Side::kRight : Side::kLeft);
    if (!run_.failed()) out_.append(*value.marked_text());
  }

  Interpreter& run_;
  TextView marked_;
  std::string_view format_;
  const Value& values_;
  std::vector<Value> positional_;
  size_t position_ = 0;
  size_t n_used_ = 0;
  BoundedText out_;
};

}  // namespace

ReadInteger read_integer(std::string_view text, int64_t base) {
  text = stripped(text, Side::kBoth, nullptr).bytes();
  const bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.remove_prefix(1);
  if (base < 0 || base == 1 || base > 36) return {};
  const char kind = text.size() > 2 && text[0] == '0' ? static_cast<char>(text[1] | 0x20) : '\0';
  const int64_t prefixed = kind == 'x' ? 16 : kind == 'o' ? 8 : kind == 'b' ? 2 : 0;
  if (prefixed != 0 && (base == 0 || base == prefixed)) {
    text.remove_prefix(text[2] == '_' ? 3 : 2);
    base = prefixed;
  }
  const bool guessed = base == 0;
  if (guessed) base = 10;
  const auto digits = without_separators(text);
  if (!digits || digits->empty()) return {};
  if (guessed && digits->size() > 1 && (*digits)[0] == '0' &&
      digits->find_first_not_of('0') != std::string::npos)
    return {};
  for (const char c : *digits) {
    if (digit_of(c) >= base) return {};
  }
  int64_t value = 0;
  for (const char c : *digits) {
    const int64_t digit = negative ? -digit_of(c) : digit_of(c);
    if (__builtin_mul_overflow(value, base, &value) || __builtin_add_overflow(value, digit, &value))
      return {std::nullopt, true};
  }
  return {value, false};
}

std::optional<double> read_float(std::string_view text) {
  text = stripped(text, Side::kBoth, nullptr).bytes();
  const bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.remove_prefix(1);
  const auto digits = without_separators(text);
  if (!digits || digits->empty()) return std::nullopt;
  std::string lower_case = lower(*digits).take_bytes();
  if (lower_case == "infinity") lower_case = "inf";
  const bool is_word = lower_case == "inf" || lower_case == "nan";
  if (!is_word && lower_case.find_first_not_of("0123456789.e+-") != std::string::npos) return std::nullopt;
  if (!is_word && (lower_case[0] == '-' || lower_case[0] == '+')) return std::nullopt;
  char* end = nullptr;  // strtod, as from_chars() gives no infinity for what is too large
  const double value = std::strtod(lower_case.c_str(), &end);
  if (*end != '\0') return std::nullopt;
  return negative ? -value : value;
}

std::optional<std::string> character_of(int64_t code_point) {
  const bool is_surrogate = code_point >= 0xD800 && code_point <= 0xDFFF;
  if (code_point < 0 || code_point > 0x10FFFF || is_surrogate) return std::nullopt;
  std::string out;
  utf8::append(out, static_cast<char32_t>(code_point));
  return out;
}

Text ascii_repr(Interpreter& run, const Value& value) {
  BoundedText text = run.text();
  append_repr(value, text);
  const Value repr = run.make(std::move(text));
  if (run.failed()) return {};
  Text out;
  const TextView view(*repr.marked_text());
  for (size_t position = 0; position < view.size();) {
    const utf8::Decoded c = utf8::decode(view.bytes(), position);
    const TextView character = view.substr(position, std::max<size_t>(1, c.n_bytes));
    position += character.size();
    if (c.code_point < 0x80) {
      character.each_part([&](std::string_view bytes, bool of_template) { out.append(bytes, of_template); });
      continue;
    }
    char buffer[12];
    const char* format = c.code_point < 0x100 ? "\\x%02x" : c.code_point < 0x10000 ? "\\u%04x" : "\\U%08x";
    std::snprintf(buffer, sizeof(buffer), format, static_cast<unsigned>(c.code_point));
    out.append(buffer, false);
  }
  return out;
}

Value format_percent(Interpreter& run, const TextView& format, const Value& values) {
  return PercentFormat(run, format, values).result();
}

Value padded(Interpreter& run, const TextView& text, int64_t width, const TextView& fill, Side side) {
  BoundedText out = run.text();
  const auto length = static_cast<int64_t>(utf8::length(text.bytes()));
  const int64_t n_missing = width > length ? width - length : 0;
  int64_t n_left = side == Side::kLeft ? n_missing : 0;
  if (side == Side::kBoth) n_left = n_missing / 2 + (n_missing & width & 1);  // as str.center() does
  out.append_times(fill, n_left);
  out.append(text);
  out.append_times(fill, n_missing - n_left);
  return run.make(std::move(out));
}

Value escaped(Interpreter& run, const TextView& text) {
  BoundedText out = run.text();
  for (size_t i = 0; i < text.size() && !out.overflow(); ++i) {
    switch (text.bytes()[i]) {
      case '&':
        out.append("&amp;");
        break;
      case '<':
        out.append("&lt;");
        break;
      case '>':
        out.append("&gt;");
        break;
      case '"':
        out.append("&#34;");
        break;
      case '\'':
        out.append("&#39;");
        break;
      default:
        out.append(text.substr(i, 1));
    }
  }
  return run.make(std::move(out));
}

TextView first_characters(const TextView& text, size_t n) {
  size_t position = 0;
  for (; n > 0 && position < text.size(); --n)
    position += std::max<size_t>(1, utf8::decode(text.bytes(), position).n_bytes);
  return text.substr(0, position);
}

}  // namespace lazyfill::jinja
