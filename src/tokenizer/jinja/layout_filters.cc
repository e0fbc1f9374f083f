// x | NAME for filters that lay text out: lines of a width, text without tags, sizes of files.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

#include "tokenizer/jinja/filters.h"
#include "tokenizer/jinja/formatting.h"
#include "tokenizer/jinja/html_entities.h"
#include "tokenizer/jinja/pretty_print.h"
#include "tokenizer/jinja/text_functions.h"
#include "tokenizer/utf8.h"

namespace lazyfill::jinja {
namespace {

using Args = Arguments;

// Where text may be broken: runs of white space, words, and the parts of words with hyphens and dashes, in
// the way of Python's textwrap.
class WordSplitter {
 public:
  WordSplitter(std::string_view text, bool at_hyphens) : at_hyphens_(at_hyphens) {
    for (size_t position = 0; position < text.size();) {
      const utf8::Decoded c = utf8::decode(text, position);
      characters_.push_back(c.code_point);
      position += std::max<size_t>(1, c.n_bytes);
    }
  }

  std::vector<std::u32string> chunks() const {
    std::vector<std::u32string> chunks;
    for (size_t begin = 0; begin < characters_.size();) {
      const size_t end = end_of_chunk(begin);
      chunks.push_back(characters_.substr(begin, end - begin));
      begin = end;
    }
    return chunks;
  }

 private:
  size_t end_of_chunk(size_t begin) const {
    size_t end = begin;
    if (is_blank(begin)) {
      while (is_blank(end)) ++end;
      return end;
    }
    if (at_hyphens_ && begin > 0 && is_in_word(begin - 1)) {
      if (const size_t dash_end = end_of_dash(begin); dash_end > 0) return dash_end;
    }
    for (end = begin + 1; end < characters_.size() && !is_blank(end); ++end) {
      if (at_hyphens_ && is_soft_hyphen(end)) return end + 1;
      if (at_hyphens_ && is_in_word(end - 1) && end_of_dash(end) > 0) return end;
    }
    return end;
  }

  bool is_blank(size_t i) const {
    if (i >= characters_.size()) return false;
    const char32_t c = characters_[i];
    return (c >= '\t' && c <= '\r') || c == ' ';
  }
  bool is_word(size_t i) const {
    if (i >= characters_.size()) return false;
    return utf8::is_letter(characters_[i]) || utf8::is_number(characters_[i]) || characters_[i] == '_';
  }
  bool is_letter(size_t i) const { return is_word(i) && !is_decimal(characters_[i]); }
  bool is_in_word(size_t i) const {
    return is_word(i) || std::u32string_view(U"!\"'&.,?").find(characters_[i]) != std::u32string_view::npos;
  }

  // Two hyphens and more before a word; 0 where there are none.
  size_t end_of_dash(size_t begin) const {
    size_t end = begin;
    while (end < characters_.size() && characters_[end] == '-') ++end;
    return end - begin >= 2 && is_word(end) ? end : 0;
  }

  // A hyphen with two letters, or a letter, a hyphen and a character, before it, and two letters behind it.
  bool is_soft_hyphen(size_t i) const {
    if (characters_[i] != '-' || i < 2) return false;
    const bool before = (is_letter(i - 2) && is_letter(i - 1)) ||
                        (i >= 3 && is_letter(i - 3) && characters_[i - 2] == '-' && is_in_word(i - 1));
    const size_t second = i + 2 < characters_.size() && characters_[i + 2] == '-' ? i + 3 : i + 2;
    return before && is_letter(i + 1) && is_letter(second);
  }

  std::u32string characters_;
  bool at_hyphens_;
};

bool is_all_space(const std::u32string& text) {
  return std::all_of(text.begin(), text.end(), is_python_space);
}

struct WrapStyle {
  size_t width = 79;
  bool breaks_words = true;
  bool at_hyphens = true;
};

// How much of a word that is longer than a line goes on this line, which has room for `room` characters.
size_t break_of(const std::u32string& word, size_t room, const WrapStyle& style) {
  const size_t hyphen = room == 0 || !style.at_hyphens ? std::u32string::npos : word.rfind('-', room - 1);
  const bool splits = hyphen != std::u32string::npos && word.find_first_not_of(U'-') < hyphen;
  return splits ? hyphen + 1 : room;
}

std::vector<std::u32string> wrapped_lines(std::vector<std::u32string> chunks, const WrapStyle& style) {
  std::vector<std::u32string> lines;
  for (size_t next = 0; next < chunks.size();) {
    std::vector<std::u32string> line;
    size_t length = 0;
    if (!lines.empty() && is_all_space(chunks[next])) ++next;
    while (next < chunks.size() && length + chunks[next].size() <= style.width) {
      length += chunks[next].size();
      line.push_back(std::move(chunks[next++]));
    }
    if (next < chunks.size() && chunks[next].size() > style.width) {
      if (style.breaks_words) {
        const size_t n = break_of(chunks[next], style.width - length, style);
        line.push_back(chunks[next].substr(0, n));
        chunks[next].erase(0, n);
      } else if (line.empty()) {
        line.push_back(std::move(chunks[next++]));
      }
    }
    if (!line.empty() && is_all_space(line.back())) line.pop_back();
    std::u32string joined_line;
    for (const std::u32string& chunk : line) joined_line += chunk;
    if (!line.empty()) lines.push_back(std::move(joined_line));
  }
  return lines;
}

// The next line as a part of its paragraph: nothing but white space before it was left out.
TextView next_line(const TextView& paragraph, const std::u32string& line, size_t& position) {
  std::string bytes;
  for (const char32_t c : line) utf8::append(bytes, c);
  while (position < paragraph.size() && !paragraph.bytes().substr(position).starts_with(bytes)) ++position;
  const TextView part = paragraph.substr(position, bytes.size());
  position += part.size();
  return part;
}

Value word_wrap(Interpreter& run, const Value& value, const Args& arguments) {
  const Value* width = arguments.get(0, "width");
  const Value* breaks = arguments.get(1, "break_long_words");
  const Value* between = arguments.get(2, "wrapstring");
  const Value* hyphens = arguments.get(3, "break_on_hyphens");
  const bool has_separator = between != nullptr && !between->is_none();
  const int64_t columns = width == nullptr ? 79 : width->integer().value_or(0);
  if (value.text() == nullptr || (has_separator && between->text() == nullptr))
    return run.fail("the filter 'wordwrap' takes texts");
  if (width != nullptr && !width->integer())
    return run.fail("the filter 'wordwrap' takes a whole number as width");
  const TextView separator = has_separator ? TextView(*between->marked_text()) : TextView("\n");
  const WrapStyle style{static_cast<size_t>(std::max<int64_t>(columns, 0)),
                        breaks == nullptr || breaks->truthy(), hyphens == nullptr || hyphens->truthy()};
  BoundedText out = run.text();
  bool first_paragraph = true;
  for (const TextView& paragraph : lines_of(*value.marked_text())) {
    if (columns <= 0) return run.fail("the filter 'wordwrap' takes a width above zero");
    // A long word is copied for every line that is taken off it.
    if (!run.spend(8 * paragraph.size()) ||
        !run.spend_search(paragraph.size(), paragraph.size() / style.width))
      return Value();
    if (!std::exchange(first_paragraph, false)) out.append(separator);
    bool first = true;
    size_t position = 0;
    for (const std::u32string& line :
         wrapped_lines(WordSplitter(paragraph.bytes(), style.at_hyphens).chunks(), style)) {
      if (!std::exchange(first, false)) out.append(separator);
      out.append(next_line(paragraph, line, position));
    }
  }
  return run.make(std::move(out));
}

Value strip_tags(Interpreter& run, const Value& value, const Args&) {
  const Text marked = run.str(value);
  const TextView view(marked);
  const std::string& text = marked.bytes();
  BoundedText kept = run.text();
  size_t position = 0;
  for (size_t start = text.find('<'); start != std::string::npos; start = text.find('<', position)) {
    const bool comment = text.compare(start, 4, "<!--") == 0;
    const size_t end = comment ? text.find("-->", start + 4) : text.find('>', start);
    if (end == std::string::npos) break;
    kept.append(view.substr(position, start - position));
    position = end + (comment ? 3 : 1);
  }
  kept.append(view.substr(position));
  const Text without_tags = kept.take();
  const Value words = split(run, without_tags, nullptr, -1, false);
  if (run.failed()) return Value();
  const Value joined_words = joined(run, words.list()->items, " ");
  if (run.failed()) return Value();
  BoundedText out = run.text();
  out.append(unescaped_html(*joined_words.marked_text()));
  return run.make(std::move(out));
}

Value file_size(Interpreter& run, const Value& value, const Args& arguments) {
  const auto number = value.text() != nullptr ? read_float(*value.text()) : value.number();
  if (!number) return run.fail("the filter 'filesizeformat' takes a number");
  constexpr std::string_view kPrefixes = "kMGTPEZY";
  const bool binary = flag(arguments, 0, "binary");
  const double base = binary ? 1024 : 1000;
  if (*number == 1) return Value("1 Byte");
  if (*number < base) {
    if (!(std::abs(*number) < 9.2e18)) return run.fail("a number is out of range");
    return Value(std::to_string(static_cast<int64_t>(*number)) + " Bytes");
  }
  long double unit = base;  // powers of 1000 up to the ninth are exact in it
  size_t i = 0;
  for (; i < kPrefixes.size(); ++i) {
    unit *= base;
    if (static_cast<long double>(*number) < unit || i + 1 == kPrefixes.size()) break;
  }
  const std::string prefix = binary ? std::string(1, static_cast<char>(std::toupper(kPrefixes[i]))) + "i"
                                    : std::string(1, kPrefixes[i]);
  char buffer[400];
  std::snprintf(buffer, sizeof(buffer), "%.1f ", base * *number / static_cast<double>(unit));
  return Value(buffer + prefix + "B");
}

Value pretty(Interpreter& run, const Value& value, const Args&) {
  return pretty_printed(run, value);
}

// Attributes of a tag from a mapping.
Value xml_attributes(Interpreter& run, const Value& value, const Args& arguments) {
  if (value.dict() == nullptr) return run.fail("the filter 'xmlattr' takes a mapping");
  const Value* autospace = arguments.get(0, "autospace");
  BoundedText out = run.text();
  bool first = autospace != nullptr && !autospace->truthy();
  for (const auto& [key, content] : value.dict()->items) {
    if (content.is_none() || content.is_undefined()) continue;
    if (key.text() == nullptr || key.text()->find_first_of("/>= \t\n\v\f\r") != std::string::npos)
      return run.fail("a name of an attribute has a character that it cannot have");
    const Value name = escaped(run, *key.marked_text());
    const Value shown = content.is_markup() ? content : escaped(run, run.str(content));
    if (run.failed()) return Value();
    if (!std::exchange(first, false)) out.append(" ");
    out.append(*name.marked_text());
    out.append("=\"");
    out.append(*shown.marked_text());
    out.append("\"");
  }
  return run.make(std::move(out));
}

const std::array<FilterEntry, 5> kFilters{{
    {"pprint", "", 0, pretty},
    {"striptags", "", 0, strip_tags},
    {"wordwrap", "width break_long_words wrapstring break_on_hyphens", 0, word_wrap},
    {"filesizeformat", "binary", 0, file_size},
    {"xmlattr", "autospace", 0, xml_attributes},
}};

}  // namespace

const FilterEntry* find_layout_filter(std::string_view name) {
  const auto found = std::find_if(kFilters.begin(), kFilters.end(),
                                  [name](const FilterEntry& entry) { return entry.name == name; });
  return found == kFilters.end() ? nullptr : &*found;
}

}  // namespace lazyfill::jinja
