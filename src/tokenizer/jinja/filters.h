// The tables of filters: texts and numbers in builtin_filters.cc, everything that can be gone through in
// sequence_filters.cc, layout in layout_filters.cc.
#pragma once

#include <string_view>

#include "tokenizer/jinja/interpreter.h"

namespace lazyfill::jinja {

struct FilterEntry {
  std::string_view name;
  std::string_view
      parameters;  // names with spaces between them; "*" for any; one that begins with "/" has no name
  size_t n_required = 0;
  Value (*call)(Interpreter& run, const Value& input, const Arguments& arguments) = nullptr;
};

const FilterEntry* find_filter(std::string_view name);  // null when it is not known
const FilterEntry* find_sequence_filter(std::string_view name);
const FilterEntry* find_layout_filter(std::string_view name);

// Whether an argument is given and true.
bool flag(const Arguments& arguments, size_t index, std::string_view name);
// Whether a value can be a key of a mapping: texts, numbers, none, and tuples of them.
bool is_hashable(const Value& value);

}  // namespace lazyfill::jinja
