// References to characters in HTML: &amp; &#38; &#x26;
#pragma once

#include <string>
#include <string_view>

namespace lazyfill::jinja {

// Replaces references as Python's html.unescape() does. Of the names, those of HTML 4 are known; other text
// stays as it is.
std::string unescaped_html(std::string_view text);

}  // namespace lazyfill::jinja
