// References to characters in HTML: &amp; &#38; &#x26;
#pragma once

#include "tokenizer/jinja/text.h"

namespace lazyfill::jinja {

// Replaces references as Python's html.unescape() does. Of the names, those of HTML 4 are known; other text
// stays as it is.
Text unescaped_html(TextView text);

}  // namespace lazyfill::jinja
