#include "tokenizer/jinja/text_functions.h"

#include <utf8proc.h>

#include <algorithm>

#include "tokenizer/utf8.h"

namespace lazyfill::jinja {
namespace {

utf8proc_category_t category_of(char32_t c) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(c));
}
bool is_upper(char32_t c) {
  return category_of(c) == UTF8PROC_CATEGORY_LU;
}
bool is_lower(char32_t c) {
  return category_of(c) == UTF8PROC_CATEGORY_LL;
}
bool is_cased(char32_t c) {
  return is_upper(c) || is_lower(c) || category_of(c) == UTF8PROC_CATEGORY_LT;
}

char32_t upper_of(char32_t c) {
  return static_cast<char32_t>(utf8proc_toupper(static_cast<utf8proc_int32_t>(c)));
}
char32_t lower_of(char32_t c) {
  return static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c)));
}

// Appends the characters one by one as `map` gives them, each of its old origin.
template <class Map>
void append_mapped(const TextView& text, Map map, Text& out) {
  text.each_part([&](std::string_view part, bool of_template) {
    std::string bytes;
    bytes.reserve(part.size());
    for (size_t position = 0; position < part.size();) {
      const utf8::Decoded c = utf8::decode(part, position);
      if (c.n_bytes == 0) break;  // values are valid UTF-8
      utf8::append(bytes, map(c.code_point));
      position += c.n_bytes;
    }
    out.append(bytes, of_template);
  });
}

template <class Map>
Text mapped(const TextView& text, Map map) {
  Text out;
  append_mapped(text, map, out);
  return out;
}

void append_view(const TextView& text, Text& out) {
  text.each_part([&out](std::string_view part, bool of_template) { out.append(part, of_template); });
}

size_t last_character(std::string_view text) {
  size_t at = text.size() - 1;
  while (at > 0 && (static_cast<unsigned char>(text[at]) & 0xC0U) == 0x80) --at;
  return at;
}

std::vector<TextView> split_by_space(TextView text, int64_t max_count, bool from_right) {
  std::vector<TextView> parts;
  while (true) {
    text = stripped(text, from_right ? Side::kRight : Side::kLeft, nullptr);
    if (text.empty()) break;
    if (max_count >= 0 && static_cast<int64_t>(parts.size()) >= max_count) {
      parts.push_back(text);
      break;
    }
    size_t length = 0;
    while (length < text.size()) {
      const std::string_view bytes = text.bytes();
      const size_t at = from_right ? last_character(bytes.substr(0, bytes.size() - length)) : length;
      const utf8::Decoded c = utf8::decode(bytes, at);
      if (is_python_space(c.code_point)) break;
      length += std::max<size_t>(1, c.n_bytes);
    }
    parts.push_back(from_right ? text.substr(text.size() - length) : text.substr(0, length));
    text = from_right ? text.substr(0, text.size() - length) : text.substr(length);
  }
  return parts;
}

std::vector<TextView> split_by(TextView text, std::string_view separator, int64_t max_count,
                               bool from_right) {
  std::vector<TextView> parts;
  while (max_count < 0 || static_cast<int64_t>(parts.size()) < max_count) {
    const size_t found = from_right ? text.bytes().rfind(separator) : text.bytes().find(separator);
    if (found == std::string_view::npos) break;
    const size_t after = found + separator.size();
    parts.push_back(from_right ? text.substr(after) : text.substr(0, found));
    text = from_right ? text.substr(0, found) : text.substr(after);
  }
  parts.push_back(text);
  return parts;
}

}  // namespace

TextView stripped(const TextView& text, Side side, const std::string* set) {
  std::string_view rest = text.bytes();
  const auto goes = [&](size_t at, size_t n_bytes) {
    if (set == nullptr) return is_python_space(utf8::decode(rest, at).code_point);
    return set->find(rest.substr(at, n_bytes)) != std::string::npos;
  };
  size_t n_before = 0;
  while (side != Side::kRight && !rest.empty()) {
    const size_t n_bytes = std::max<size_t>(1, utf8::decode(rest, 0).n_bytes);
    if (!goes(0, n_bytes)) break;
    rest.remove_prefix(n_bytes);
    n_before += n_bytes;
  }
  while (side != Side::kLeft && !rest.empty()) {
    const size_t at = last_character(rest);
    if (!goes(at, rest.size() - at)) break;
    rest = rest.substr(0, at);
  }
  return text.substr(n_before, rest.size());
}

// The sharp s is the one letter of a large language whose upper case is two letters.
Text upper(const TextView& text) {
  Text out;
  for (size_t begin = 0; begin < text.size();) {
    const size_t sharp = std::min(text.bytes().find("\u00DF", begin), text.size());
    append_mapped(text.substr(begin, sharp - begin), upper_of, out);
    if (sharp < text.size()) append_view("SS", out);
    begin = sharp + 2;
  }
  return out;
}

Text lower(const TextView& text) {
  return mapped(text, lower_of);
}

Text capitalized(const TextView& text) {
  bool first = true;
  return mapped(text, [&](char32_t c) { return std::exchange(first, false) ? upper_of(c) : lower_of(c); });
}

// str.title() starts a word after every character that has no case; the filter only after spaces, dashes and
// brackets.
Text titled(const TextView& text, bool words_by_letters) {
  bool at_start = true;
  return mapped(text, [&](char32_t c) {
    const char32_t out = at_start ? upper_of(c) : lower_of(c);
    const bool separates = is_python_space(c) || c == '-' || c == '(' || c == '{' || c == '[' || c == '<';
    at_start = words_by_letters ? !is_cased(c) : separates;
    return out;
  });
}

Value replaced(Interpreter& run, const TextView& text, std::string_view from, const TextView& to,
               int64_t max_count) {
  if (!run.spend_search(text.size(), from.size())) return Value();
  BoundedText out = run.text();
  size_t position = 0;
  for (int64_t n = 0; max_count < 0 || n < max_count; ++n) {
    // An empty pattern stands before every character and at the end.
    const size_t step = from.empty() && position < text.size()
                            ? std::max<size_t>(1, utf8::decode(text.bytes(), position).n_bytes)
                            : 0;
    const size_t found = from.empty() ? position : text.bytes().find(from, position);
    if (found == std::string_view::npos || !run.spend(1)) break;
    out.append(text.substr(position, found - position));
    out.append(to);
    position = found + from.size();
    if (!from.empty()) continue;
    if (position == text.size()) break;
    out.append(text.substr(position, step));
    position += step;
  }
  out.append(text.substr(position));
  return run.make(std::move(out));
}

Value split(Interpreter& run, const TextView& text, const std::string* separator, int64_t max_count,
            bool from_right) {
  if (separator != nullptr && separator->empty()) return run.fail("a text cannot be split by nothing");
  if (!run.spend(text.size() / 8)) return Value();
  if (separator != nullptr && !run.spend_search(text.size(), separator->size())) return Value();
  std::vector<TextView> parts = separator == nullptr ? split_by_space(text, max_count, from_right)
                                                     : split_by(text, *separator, max_count, from_right);
  if (from_right) std::reverse(parts.begin(), parts.end());
  if (!run.spend(8 * parts.size())) return Value();
  std::vector<Value> values;
  for (const TextView& part : parts) values.emplace_back(part);
  return Value::list(std::move(values));
}

Value joined(Interpreter& run, const std::vector<Value>& items, const TextView& separator) {
  BoundedText out = run.text();
  for (size_t i = 0; i < items.size(); ++i) {
    if (i > 0) out.append(separator);
    append_str(items[i], out);
  }
  return run.make(std::move(out));
}

std::vector<TextView> lines_of(const TextView& view, bool keep_ends) {
  const std::string_view text = view.bytes();
  std::vector<TextView> lines;
  size_t begin = 0;
  for (size_t position = 0; position < text.size();) {
    const utf8::Decoded c = utf8::decode(text, position);
    const size_t at = position;
    position += std::max<size_t>(1, c.n_bytes);
    const bool ends = (c.code_point >= '\n' && c.code_point <= '\r') ||
                      (c.code_point >= 0x1C && c.code_point <= 0x1E) || c.code_point == 0x85 ||
                      c.code_point == 0x2028 || c.code_point == 0x2029;
    if (!ends || c.n_bytes == 0) continue;
    if (c.code_point == '\r' && position < text.size() && text[position] == '\n') ++position;
    lines.push_back(view.substr(begin, (keep_ends ? position : at) - begin));
    begin = position;
  }
  if (begin < text.size()) lines.push_back(view.substr(begin));
  return lines;
}

Text swapped_case(const TextView& text) {
  Text out;
  for (size_t position = 0; position < text.size();) {
    const utf8::Decoded c = utf8::decode(text.bytes(), position);
    const TextView character = text.substr(position, std::max<size_t>(1, c.n_bytes));
    position += character.size();
    if (is_lower(c.code_point)) {
      append_view(upper(character), out);
    } else {
      append_mapped(
          character, is_upper(c.code_point) ? lower_of : [](char32_t same) { return same; }, out);
    }
  }
  return out;
}

// White_Space and four separators of ASCII.
bool is_python_space(char32_t c) {
  return utf8::is_space(c) || (c >= 0x1C && c <= 0x1F);
}

bool is_decimal(char32_t c) {
  return category_of(c) == UTF8PROC_CATEGORY_ND;
}

bool is_digit(char32_t c) {
  struct Range {
    char32_t first, last;
  };
  // Characters of Numeric_Type=Digit (Unicode 14).
  constexpr Range kDigits[] = {
      {0xB2, 0xB3},     {0xB9, 0xB9},       {0x1369, 0x1371},   {0x19DA, 0x19DA},   {0x2070, 0x2070},
      {0x2074, 0x2079}, {0x2080, 0x2089},   {0x2460, 0x2468},   {0x2474, 0x247C},   {0x2488, 0x2490},
      {0x24EA, 0x24EA}, {0x24F5, 0x24FD},   {0x24FF, 0x24FF},   {0x2776, 0x277E},   {0x2780, 0x2788},
      {0x278A, 0x2792}, {0x10A40, 0x10A43}, {0x10E60, 0x10E68}, {0x11052, 0x1105A}, {0x1F100, 0x1F10A}};
  return is_decimal(c) || std::any_of(std::begin(kDigits), std::end(kDigits), [c](const Range& range) {
           return c >= range.first && c <= range.last;
         });
}

bool has_case(std::string_view text, bool upper_case) {
  bool found = false;
  for (size_t position = 0; position < text.size();) {
    const utf8::Decoded c = utf8::decode(text, position);
    position += std::max<size_t>(1, c.n_bytes);
    if (!is_cased(c.code_point)) continue;
    if (!(upper_case ? is_upper(c.code_point) : is_lower(c.code_point))) return false;
    found = true;
  }
  return found;
}

bool is_titled(std::string_view text) {
  bool found = false;
  bool inside = false;
  for (size_t position = 0; position < text.size();) {
    const utf8::Decoded c = utf8::decode(text, position);
    position += std::max<size_t>(1, c.n_bytes);
    if (is_cased(c.code_point) && is_lower(c.code_point) != inside) return false;
    inside = is_cased(c.code_point);
    found = found || inside;
  }
  return found;
}

}  // namespace lazyfill::jinja
