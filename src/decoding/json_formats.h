// What "format" of JSON Schema asks for, as regular expressions: each takes valid texts only, not all of
// them.
#pragma once

#include <string_view>

namespace lazyfill {

// Empty: the format is not known. "" is never a pattern here.
std::string_view json_format(std::string_view name);

}  // namespace lazyfill
