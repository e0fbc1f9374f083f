#include "cli/text.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "base/characters.h"
#include "tokenizer/utf8.h"

namespace lazyfill::cli {
namespace {

bool is_control(char32_t code_point) {
  const bool bidi =
      (code_point >= 0x202A && code_point <= 0x202E) || (code_point >= 0x2066 && code_point <= 0x2069);
  return code_point < 0x20 || (code_point >= 0x7F && code_point < 0xA0) || bidi;
}

}  // namespace

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  size_t begin = 0;
  for (size_t end = text.find(separator); end != std::string_view::npos; end = text.find(separator, begin)) {
    parts.emplace_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  parts.emplace_back(text.substr(begin));
  return parts;
}

std::string join(const std::vector<std::string>& parts, std::string_view separator) {
  std::string joined;
  for (const std::string& part : parts) {
    if (!joined.empty()) joined += separator;
    joined += part;
  }
  return joined;
}

size_t find_invalid_utf8(std::string_view text) {
  return utf8::first_invalid(text).value_or(std::string_view::npos);
}

std::string valid_utf8(std::string_view text) {
  return utf8::replace_invalid(text);
}

std::string printable(std::string_view text) {
  const std::string valid = valid_utf8(text);
  std::string shown;
  for (size_t at = 0; at < valid.size();) {
    const utf8::Decoded c = utf8::decode(valid, at);
    if (c.code_point == '\r') {
      // nothing
    } else if (is_control(c.code_point) && c.code_point != '\n' && c.code_point != '\t') {
      utf8::append(shown, utf8::kReplacement);
    } else {
      shown.append(valid, at, c.n_bytes);
    }
    at += c.n_bytes;
  }
  return shown;
}

std::string quote(std::string_view text) {
  constexpr size_t kLongest = 60;
  std::string shown = printable(text.substr(0, kLongest));
  std::replace(shown.begin(), shown.end(), '\n', ' ');
  if (text.size() > kLongest) shown += "...";
  return "'" + shown + "'";
}

std::string short_number(double value) {
  char buffer[32];
  std::snprintf(buffer, sizeof buffer, "%.6g", value);
  return buffer;
}

std::string fixed(double value, int digits) {
  char buffer[64];
  std::snprintf(buffer, sizeof buffer, "%.*f", digits, value);
  return buffer;
}

std::string grouped(uint64_t value) {
  std::string digits = std::to_string(value);
  for (size_t from_end = 3; from_end < digits.size(); from_end += 4)
    digits.insert(digits.size() - from_end, 1, ',');
  return digits;
}

std::string duration_text(double ms) {
  if (ms < 999.5) return fixed(ms, ms < 9.95 ? 1 : 0) + " ms";
  if (ms < 59'995) return fixed(ms / 1000, ms < 9'995 ? 2 : 1) + " s";
  const auto seconds = static_cast<uint64_t>(std::llround(ms / 1000));
  return grouped(seconds / 60) + " min " + std::to_string(seconds % 60) + " s";
}

std::string bytes_text(uint64_t bytes) {
  if (bytes < 1000) return std::to_string(bytes) + " B";
  const char* const units[] = {"kB", "MB", "GB", "TB"};
  double value = static_cast<double>(bytes) / 1000;
  size_t unit = 0;
  while (value >= 999.5 && unit + 1 < std::size(units)) {
    value /= 1000;
    ++unit;
  }
  return fixed(value, value < 99.95 ? 1 : 0) + " " + units[unit];
}

std::string padded(std::string_view text, int columns) {
  // Columns of a terminal, not bytes: continuation bytes take none.
  const auto width = static_cast<int>(count_characters(text));
  const std::string fill(static_cast<size_t>(std::max(0, std::abs(columns) - width)), ' ');
  return columns < 0 ? std::string(text) + fill : fill + std::string(text);
}

std::vector<TextGroup> merge_pieces(const std::vector<std::string>& pieces) {
  // The longest character has four bytes; a run of more single-byte pieces than that never becomes one.
  constexpr size_t kMostTokens = 4;
  std::vector<TextGroup> groups;
  for (size_t first = 0; first < pieces.size();) {
    std::string bytes = pieces[first];
    size_t n_tokens = 1;
    while (utf8::incomplete_tail(bytes) > 0 && first + n_tokens < pieces.size() && n_tokens < kMostTokens) {
      bytes += pieces[first + n_tokens];
      ++n_tokens;
    }
    groups.push_back({first, n_tokens, valid_utf8(bytes)});
    first += n_tokens;
  }
  return groups;
}

}  // namespace lazyfill::cli
