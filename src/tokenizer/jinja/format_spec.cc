// format(value, spec): [[fill]align][sign][z][#][0][width][grouping][.precision][type]
#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>

#include "tokenizer/jinja/formatting.h"
#include "tokenizer/utf8.h"

namespace lazyfill::jinja {
namespace {

struct Spec {
  std::string fill = " ";
  char align = '\0';
  char sign = '\0';
  bool no_negative_zero = false;
  bool alternate = false;
  int64_t width = -1;
  char grouping = '\0';
  int64_t precision = -1;
  char type = '\0';
};

bool is_alignment(std::string_view text) {
  return !text.empty() && std::string_view("<>=^").find(text[0]) != std::string_view::npos;
}

// Empty where the text has no such form. `is_text`: a zero before the width does not go behind a sign then.
std::optional<Spec> read_spec(std::string_view text, bool is_text) {
  Spec spec;
  const auto take = [&](char wanted) {
    const bool there = text.starts_with(wanted);
    if (there) text.remove_prefix(1);
    return there;
  };
  const auto take_count = [&](int64_t& count) {
    const auto read = std::from_chars(text.data(), text.data() + text.size(), count);
    const auto n = static_cast<size_t>(read.ptr - text.data());
    const bool is_one = n > 0 && text[0] != '-' && read.ec == std::errc();
    if (is_one) text.remove_prefix(n);
    return is_one;
  };
  bool has_fill = false;
  if (const size_t n = text.empty() ? 0 : utf8::decode(text, 0).n_bytes;
      n > 0 && is_alignment(text.substr(n))) {
    has_fill = true;
    spec.fill = text.substr(0, n);
    spec.align = text[n];
    text.remove_prefix(n + 1);
  } else if (is_alignment(text)) {
    spec.align = text[0];
    text.remove_prefix(1);
  }
  if (!text.empty() && std::string_view("+- ").find(text[0]) != std::string_view::npos) {
    spec.sign = text[0];
    text.remove_prefix(1);
  }
  spec.no_negative_zero = take('z');
  spec.alternate = take('#');
  if (!has_fill && take('0')) {
    spec.fill.assign(1, '0');
    if (spec.align == '\0' && !is_text) spec.align = '=';
  }
  if (!take_count(spec.width)) spec.width = -1;
  if (take(',')) spec.grouping = ',';
  if (spec.grouping == '\0' && take('_')) spec.grouping = '_';
  if (take('.') && !take_count(spec.precision)) return std::nullopt;
  if (text.size() > 1) return std::nullopt;
  if (!text.empty()) spec.type = text[0];
  const std::string_view grouped =
      spec.grouping == '_' ? std::string_view("defgEG%F\0boxX", 13) : std::string_view("defgEG%F\0", 9);
  if (spec.grouping != '\0' && grouped.find(spec.type) == std::string_view::npos) return std::nullopt;
  return spec;
}

// A number, taken apart for padding: sign, prefix, digits, and the rest from the point on.
struct Number {
  std::string sign;
  std::string prefix;
  std::string digits;
  std::string rest;
};

class SpecFormat {
 public:
  // `is_said`: whether what a number prints was said by the conversation.
  SpecFormat(Interpreter& run, const Spec& spec, bool is_said) : run_(run), spec_(spec), is_said_(is_said) {}

  Value text(const TextView& text) {
    if (spec_.sign != '\0' || spec_.no_negative_zero || spec_.alternate || spec_.align == '=')
      return refuse();
    if (spec_.grouping != '\0' || (spec_.type != '\0' && spec_.type != 's')) return refuse();
    TextView shown = text;
    if (spec_.precision >= 0) shown = first_characters(text, static_cast<size_t>(spec_.precision));
    return put(shown, '<');
  }

  Value integer(int64_t value) {
    const char type = spec_.type == '\0' || spec_.type == 'n' ? 'd' : spec_.type;
    if (std::string_view("eEfFgG%").find(type) != std::string_view::npos)
      return real(static_cast<double>(value));
    const int base = type == 'd' ? 10 : type == 'b' ? 2 : type == 'o' ? 8 : (type | 0x20) == 'x' ? 16 : 0;
    if (spec_.precision >= 0 || spec_.no_negative_zero || (base == 0 && type != 'c')) return refuse();
    if (type == 'c') {
      const auto character = character_of(value);
      if (spec_.sign != '\0' || spec_.alternate || !character) return refuse();
      return put(own(*character), '>');
    }
    Number number;
    number.sign = sign_of(value < 0);
    const uint64_t magnitude =
        value < 0 ? uint64_t{0} - static_cast<uint64_t>(value) : static_cast<uint64_t>(value);
    char buffer[72];
    number.digits.assign(buffer, std::to_chars(buffer, buffer + sizeof(buffer), magnitude, base).ptr);
    if (spec_.alternate && base != 10) number.prefix = std::string("0") + type;
    if (type == 'X')
      std::transform(number.digits.begin(), number.digits.end(), number.digits.begin(), ::toupper);
    return put_number(number, base == 10 ? 3 : 4);
  }

  Value real(double value) {
    if (spec_.type != '\0' && std::string_view("eEfFgG%n").find(spec_.type) == std::string_view::npos)
      return refuse();
    if (spec_.precision > kMostDigits) return run_.fail("a format asks for too many digits");
    if (spec_.type == '%') value *= 100;
    std::string shown = digits_of(std::abs(value));
    const bool is_zero = shown.find_first_of("123456789n") == std::string::npos;  // n: inf and nan
    const bool negative = std::signbit(value) && !std::isnan(value) && !(spec_.no_negative_zero && is_zero);
    if (spec_.type == '%') shown += '%';
    Number number;
    number.sign = sign_of(negative);
    const size_t n_digits = std::min(shown.find_first_not_of("0123456789"), shown.size());
    number.digits = shown.substr(0, n_digits);
    number.rest = shown.substr(n_digits);
    return put_number(number, 3);
  }

 private:
  Value refuse() { return run_.fail("a format has a specification that does not fit its value"); }

  std::string sign_of(bool negative) const {
    if (negative) return "-";
    return spec_.sign == '+' ? "+" : spec_.sign == ' ' ? " " : "";
  }

  std::string printed(char type, int precision, double value) const {
    const std::string format = std::string(spec_.alternate ? "%#.*" : "%.*") + type;
    char buffer[kMostDigits + 400];
    const int n = std::snprintf(buffer, sizeof(buffer), format.c_str(), precision, value);
    return {buffer, static_cast<size_t>(n)};
  }

  std::string digits_of(double value) const {
    const char type = spec_.type == 'n' ? 'g' : spec_.type == '%' ? 'f' : spec_.type;
    const int precision = static_cast<int>(spec_.precision);
    if (type != '\0') return printed(type, precision < 0 ? 6 : precision, value);
    if (precision < 0) return float_repr(value);
    if (!std::isfinite(value)) return printed('g', 6, value);
    // As 'g', but with a digit behind the point, for which one of the digits is kept.
    const std::string scientific = printed('e', std::max(precision, 1) - 1, value);
    const int exponent = std::atoi(scientific.substr(scientific.find('e') + 1).c_str());
    const bool shows_exponent = exponent < -4 || exponent + 1 > std::max(precision, 1) - 1;
    if (!shows_exponent) {
      std::string shown = printed('g', std::max(precision, 1), value);
      if (shown.find('.') == std::string::npos) shown += ".0";
      return shown;
    }
    if (spec_.alternate) return scientific;
    const size_t e = scientific.find('e');
    std::string mantissa = scientific.substr(0, e);
    if (mantissa.find('.') != std::string::npos) {
      mantissa.erase(mantissa.find_last_not_of('0') + 1);
      if (mantissa.back() == '.') mantissa.pop_back();
    }
    return mantissa + scientific.substr(e);
  }

  // Digits in groups from the right, with zeros in front until there are `least` characters.
  std::string grouped(const std::string& digits, size_t n_group, int64_t least) const {
    std::string reversed;
    size_t n_left = digits.size();
    size_t n_in_group = 0;
    while (n_left > 0 || static_cast<int64_t>(reversed.size()) < least) {
      if (spec_.grouping != '\0' && n_in_group == n_group) {
        reversed += spec_.grouping;
        n_in_group = 0;
      }
      reversed += n_left > 0 ? digits[--n_left] : '0';
      ++n_in_group;
    }
    return {reversed.rbegin(), reversed.rend()};
  }

  Value put_number(const Number& number, size_t n_group) {
    const auto n_around =
        static_cast<int64_t>(number.sign.size() + number.prefix.size() + number.rest.size());
    const char align = spec_.align == '\0' ? '>' : spec_.align;
    const bool zeros = spec_.fill == "0" && align == '=' && !number.digits.empty();
    constexpr int64_t kLongest = 1 << 20;
    if (zeros && spec_.width > kLongest) return run_.fail("it makes too much text");
    const std::string digits = grouped(number.digits, n_group, zeros ? spec_.width - n_around : 0);
    if (align != '=') return put(own(number.sign + number.prefix + digits + number.rest), '>');
    BoundedText out = run_.text();
    out.append(own(number.sign + number.prefix));
    out.append_times(spec_.fill, spec_.width - n_around - static_cast<int64_t>(digits.size()));
    out.append(own(digits + number.rest));
    return run_.make(std::move(out));
  }

  TextView own(const std::string& number) const { return TextView::one_origin(number, !is_said_); }

  Value put(const TextView& text, char usual) {
    const char align = spec_.align == '\0' ? usual : spec_.align;
    const auto n_missing =
        std::max<int64_t>(0, spec_.width - static_cast<int64_t>(utf8::length(text.bytes())));
    const int64_t n_left = align == '>' || align == '=' ? n_missing : align == '^' ? n_missing / 2 : 0;
    BoundedText out = run_.text();
    out.append_times(spec_.fill, n_left);
    out.append(text);
    out.append_times(spec_.fill, n_missing - n_left);
    return run_.make(std::move(out));
  }

  Interpreter& run_;
  const Spec& spec_;
  bool is_said_;
};

}  // namespace

Value format_value(Interpreter& run, const Value& value, std::string_view spec) {
  if (spec.empty()) return Value(run.str(value));
  const auto read = read_spec(spec, value.text() != nullptr);
  if (!read || (value.text() == nullptr && !value.is_number()))
    return run.fail("a format has a specification that does not fit its value");
  SpecFormat format(run, *read, value.is_said());
  if (value.text() != nullptr) return format.text(*value.marked_text());
  return value.is_float() ? format.real(*value.number()) : format.integer(*value.integer());
}

}  // namespace lazyfill::jinja
