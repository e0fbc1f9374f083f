// UTF-8 and the few Unicode properties that tokenisers and templates ask for, over utf8proc.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "lazyfill/error.h"

namespace lazyfill::utf8 {

inline constexpr char32_t kReplacement = 0xFFFD;

struct Decoded {
  char32_t code_point = 0;
  size_t n_bytes = 0;  // 0: no valid character starts here
};

// The character that starts at `position`, which must be below text.size().
Decoded decode(std::string_view text, size_t position);

void append(std::string& out, char32_t code_point);

// Offset of the first byte that does not belong to a valid character; empty for valid text.
std::optional<size_t> first_invalid(std::string_view text);

// How many bytes at the end may still become a character when more bytes follow: 0 to 3.
size_t incomplete_tail(std::string_view text);

// Every maximal invalid subsequence becomes one U+FFFD (Unicode 15, section 3.9: what Python's "replace"
// does).
std::string replace_invalid(std::string_view text);

// A name from a file as a message may show it: control characters and bytes beyond ASCII become '?', and it
// is cut after `longest`.
std::string printable(std::string_view name, size_t longest = 48);

// Normalisation forms C and D of valid text.
Result<std::string> compose(std::string_view text);
Result<std::string> decompose(std::string_view text);

// Characters of valid text.
size_t length(std::string_view text);

// Bytes of white space that valid text begins with; valid text without that at its end.
size_t leading_spaces(std::string_view text);
std::string_view without_trailing_spaces(std::string_view text);

bool is_letter(char32_t c);          // category L*
bool is_number(char32_t c);          // category N*
bool is_digit(char32_t c);           // category Nd
bool is_space(char32_t c);           // property White_Space
bool is_word_character(char32_t c);  // \w: letters, marks, numbers, connectors
bool is_other(char32_t c);           // category C*: controls, formats, what is not assigned
bool is_accent(char32_t c);          // category Mn: marks that take no place of their own
bool is_punctuation(char32_t c);     // category P*
// Of one character; most are one character.
void append_lower_case(std::string& out, char32_t c);

}  // namespace lazyfill::utf8
