// Small pure functions on text: splitting, UTF-8, and numbers as people read them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace lazyfill::cli {

std::vector<std::string> split(std::string_view text, char separator);  // at least one part
std::string join(const std::vector<std::string>& parts, std::string_view separator);

// Byte offset of the first byte that is no valid UTF-8; npos when all is well.
size_t find_invalid_utf8(std::string_view text);
// Each maximal ill-formed sequence becomes one U+FFFD, as Python's bytes.decode("utf-8", "replace") has it.
std::string valid_utf8(std::string_view text);
// Valid UTF-8 without control characters but newline and tab: text of strangers must not steer a terminal. A
// carriage return, which ends lines elsewhere, becomes nothing.
std::string printable(std::string_view text);
// For messages: printable, shortened, in quotation marks.
std::string quote(std::string_view text);

std::string short_number(double value);                  // 0.5, 12, 1.25
std::string grouped(uint64_t value);                     // 8,192
std::string duration_text(double ms);                    // 85 ms, 1.42 s, 2 min 5 s
std::string bytes_text(uint64_t bytes);                  // 98.1 MB
std::string fixed(double value, int digits);             // fixed(2.345, 1) = 2.3
std::string padded(std::string_view text, int columns);  // right-aligned; negative: left-aligned

// A run of tokens whose bytes end at a character's border: the smallest unit that can be shown as text.
struct TextGroup {
  size_t first_token = 0;
  size_t n_tokens = 0;
  std::string text;  // valid UTF-8
};
// Pieces may end inside a character; neighbours are merged until each group is whole. Bytes that never become
// a character are shown as U+FFFD.
std::vector<TextGroup> merge_pieces(const std::vector<std::string>& pieces);

}  // namespace lazyfill::cli
