// Numbers in texts and texts with places for values, as Python reads and writes them.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "tokenizer/jinja/interpreter.h"
#include "tokenizer/jinja/text_functions.h"

namespace lazyfill::jinja {

struct ReadInteger {
  std::optional<int64_t> value;  // empty: no number
  bool out_of_range = false;     // a number that 64 bits cannot hold
};
// int(text, base) and float(text).
ReadInteger read_integer(std::string_view text, int64_t base);
std::optional<double> read_float(std::string_view text);

// format % values: a tuple's items, a mapping's values by name, or one value. Fails the run where Python
// raises.
Value format_percent(Interpreter& run, const TextView& format, const Value& values);
// format.format(...), in format_braces.cc: {}, {0}, {name.key[0]!r:>8} and {{.
Value format_braces(Interpreter& run, const TextView& format, const Arguments& arguments);
// format(value, spec), in format_spec.cc. Fails the run where Python raises.
Value format_value(Interpreter& run, const Value& value, std::string_view spec);

std::optional<std::string> character_of(int64_t code_point);  // chr(); empty where there is none
Text ascii_repr(Interpreter& run, const Value& value);        // ascii()
inline constexpr int kMostDigits = 1000;                      // that a format may ask for

// ljust (kRight), rjust (kLeft) and center: `side` is where the fill goes; width in characters.
Value padded(Interpreter& run, const TextView& text, int64_t width, const TextView& fill, Side side);
Value escaped(Interpreter& run, const TextView& text);  // for HTML
TextView first_characters(const TextView& text, size_t n);

}  // namespace lazyfill::jinja
