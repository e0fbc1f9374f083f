// Python's string functions that filters and methods share; they keep who wrote what. Case is mapped
// character by character, without the few special cases in which one character becomes several.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/jinja/interpreter.h"

namespace lazyfill::jinja {

enum class Side { kLeft, kRight, kBoth };

// Takes off whitespace, or the characters in `set` when it is not null.
TextView stripped(const TextView& text, Side side, const std::string* set);
Text upper(const TextView& text);
Text lower(const TextView& text);
Text capitalized(const TextView& text);  // first character upper, the others lower
Text titled(const TextView& text, bool words_by_letters);
// At most `max_count` times, a negative one means all.
Value replaced(Interpreter& run, const TextView& text, std::string_view from, const TextView& to,
               int64_t max_count);
// By whitespace when `separator` is null; the parts are text values.
Value split(Interpreter& run, const TextView& text, const std::string* separator, int64_t max_count,
            bool from_right);
Value joined(Interpreter& run, const std::vector<Value>& items, const TextView& separator);
// Ends of lines are those of str.splitlines(): also form feeds, U+0085, U+2028 and their like.
std::vector<TextView> lines_of(const TextView& text, bool keep_ends = false);
Text swapped_case(const TextView& text);

// What Python's str.isspace() and str.strip() take for whitespace.
bool is_python_space(char32_t c);
bool is_decimal(char32_t c);  // str.isdecimal()
bool is_digit(char32_t c);    // str.isdigit(): also digits raised, lowered and in circles
// str.isupper() and str.islower(): every letter that has a case has this one, and there is such a letter.
bool has_case(std::string_view text, bool upper_case);
bool is_titled(std::string_view text);  // str.istitle()

}  // namespace lazyfill::jinja
