#include "tokenizer/utf8.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstdlib>

namespace lazyfill::utf8 {
namespace {

// What the first byte of a sequence promises.
struct Lead {
  size_t n_bytes = 0;  // 0: never a first byte
  unsigned char second_low = 0x80;
  unsigned char second_high = 0xBF;
};

Lead lead_of(unsigned char byte) {
  if (byte < 0x80) return {1};
  if (byte < 0xC2) return {0};
  if (byte < 0xE0) return {2};
  if (byte == 0xE0) return {3, 0xA0, 0xBF};  // shorter forms exist
  if (byte == 0xED) return {3, 0x80, 0x9F};  // surrogates
  if (byte < 0xF0) return {3};
  if (byte == 0xF0) return {4, 0x90, 0xBF};
  if (byte < 0xF4) return {4};
  if (byte == 0xF4) return {4, 0x80, 0x8F};  // above U+10FFFF
  return {0};
}

// Bytes from `position` on that are a correct beginning of one character, at most the whole of it.
size_t valid_prefix(std::string_view text, size_t position) {
  const auto at = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const Lead lead = lead_of(at(position));
  if (lead.n_bytes == 0) return 0;
  size_t n = 1;
  while (n < lead.n_bytes && position + n < text.size()) {
    const unsigned char low = n == 1 ? lead.second_low : 0x80;
    const unsigned char high = n == 1 ? lead.second_high : 0xBF;
    if (at(position + n) < low || at(position + n) > high) break;
    ++n;
  }
  return n;
}

Result<std::string> mapped(std::string_view text, utf8proc_option_t how) {
  utf8proc_uint8_t* changed = nullptr;
  const auto n_bytes = utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                                    static_cast<utf8proc_ssize_t>(text.size()), &changed,
                                    static_cast<utf8proc_option_t>(UTF8PROC_STABLE | how));
  if (n_bytes < 0)
    return fail(ErrorCode::kOutOfMemory, "the text could not be normalised for lack of memory");
  std::string out(reinterpret_cast<const char*>(changed), static_cast<size_t>(n_bytes));
  std::free(changed);  // utf8proc allocates with malloc
  return out;
}

}  // namespace

Decoded decode(std::string_view text, size_t position) {
  const auto at = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = at(position);
  if (first < 0x80) return {first, 1};
  const size_t n_bytes = lead_of(first).n_bytes;
  if (n_bytes == 0 || valid_prefix(text, position) != n_bytes) return {};
  char32_t code_point = first & (0x7FU >> n_bytes);
  for (size_t i = 1; i < n_bytes; ++i) code_point = (code_point << 6) | (at(position + i) & 0x3FU);
  return {code_point, n_bytes};
}

void append(std::string& out, char32_t code_point) {
  utf8proc_uint8_t bytes[4];
  const auto n = utf8proc_encode_char(static_cast<utf8proc_int32_t>(code_point), bytes);
  out.append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(n));
}

std::optional<size_t> first_invalid(std::string_view text) {
  size_t position = 0;
  while (position < text.size()) {
    const Decoded decoded = decode(text, position);
    if (decoded.n_bytes == 0) return position;
    position += decoded.n_bytes;
  }
  return std::nullopt;
}

size_t incomplete_tail(std::string_view text) {
  const size_t longest = std::min<size_t>(3, text.size());
  for (size_t n = 1; n <= longest; ++n) {
    const size_t position = text.size() - n;
    const size_t promised = lead_of(static_cast<unsigned char>(text[position])).n_bytes;
    if (promised > n && valid_prefix(text, position) == n) return n;
  }
  return 0;
}

std::string replace_invalid(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  size_t position = 0;
  while (position < text.size()) {
    const size_t n_bytes = decode(text, position).n_bytes;
    if (n_bytes > 0) {
      out.append(text, position, n_bytes);
      position += n_bytes;
    } else {
      append(out, kReplacement);
      position += std::max<size_t>(1, valid_prefix(text, position));
    }
  }
  return out;
}

std::string printable(std::string_view name, size_t longest) {
  std::string out(name.substr(0, longest));
  for (char& c : out) {
    if (c < ' ' || c > '~') c = '?';
  }
  return name.size() > longest ? out + "..." : out;
}

Result<std::string> compose(std::string_view text) {
  return mapped(text, UTF8PROC_COMPOSE);
}

Result<std::string> decompose(std::string_view text) {
  return mapped(text, UTF8PROC_DECOMPOSE);
}

size_t length(std::string_view text) {
  return static_cast<size_t>(std::count_if(
      text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80; }));
}

size_t leading_spaces(std::string_view text) {
  size_t n = 0;
  while (n < text.size()) {
    const Decoded c = decode(text, n);
    if (c.n_bytes == 0 || !is_space(c.code_point)) break;
    n += c.n_bytes;
  }
  return n;
}

std::string_view without_trailing_spaces(std::string_view text) {
  while (!text.empty()) {
    size_t begin = text.size() - 1;
    while (begin > 0 && (static_cast<unsigned char>(text[begin]) & 0xC0U) == 0x80) --begin;
    const Decoded c = decode(text, begin);
    if (c.n_bytes == 0 || !is_space(c.code_point)) break;
    text = text.substr(0, begin);
  }
  return text;
}

bool is_letter(char32_t c) {
  if (c < 0x80) return (c | 0x20U) >= 'a' && (c | 0x20U) <= 'z';
  const auto category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  return category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO;
}

bool is_number(char32_t c) {
  if (c < 0x80) return c >= '0' && c <= '9';
  const auto category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  return category >= UTF8PROC_CATEGORY_ND && category <= UTF8PROC_CATEGORY_NO;
}

bool is_digit(char32_t c) {
  if (c < 0x80) return c >= '0' && c <= '9';
  return utf8proc_category(static_cast<utf8proc_int32_t>(c)) == UTF8PROC_CATEGORY_ND;
}

bool is_word_character(char32_t c) {
  const auto category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  // Letters in circles and squares count as letters although they are symbols.
  const bool framed = (c >= 0x24B6 && c <= 0x24E9) || (c >= 0x1F130 && c <= 0x1F149) ||
                      (c >= 0x1F150 && c <= 0x1F169) || (c >= 0x1F170 && c <= 0x1F189);
  return framed || category == UTF8PROC_CATEGORY_PC ||
         (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_NO);
}

bool is_space(char32_t c) {
  if (c < 0x80) return c == ' ' || (c >= '\t' && c <= '\r');
  return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 ||
         c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

bool is_other(char32_t c) {
  const auto category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  return category == UTF8PROC_CATEGORY_CN ||
         (category >= UTF8PROC_CATEGORY_CC && category <= UTF8PROC_CATEGORY_CO);
}

bool is_accent(char32_t c) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(c)) == UTF8PROC_CATEGORY_MN;
}

bool is_punctuation(char32_t c) {
  const auto category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  return category >= UTF8PROC_CATEGORY_PC && category <= UTF8PROC_CATEGORY_PO;
}

void append_lower_case(std::string& out, char32_t c) {
  append(out, static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c))));
  if (c == 0x130) append(out, 0x307);  // the one character whose lower case is two
}

}  // namespace lazyfill::utf8
