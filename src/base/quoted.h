// Text from outside, made fit for an error sentence.
#pragma once

#include <string>
#include <string_view>

namespace lazyfill {

// `text` in double quotes: at most max_bytes of it, everything but printable ASCII as \xNN, so that a hostile
// file or request can neither steer a terminal nor forge a line of a log.
std::string quoted(std::string_view text, size_t max_bytes = 64);

}  // namespace lazyfill
