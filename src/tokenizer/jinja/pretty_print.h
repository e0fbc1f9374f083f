// Python's pprint.pformat(): a value on one line where 80 columns suffice, else a part a line.
#pragma once

#include "tokenizer/jinja/interpreter.h"

namespace lazyfill::jinja {

Value pretty_printed(Interpreter& run, const Value& value);

}  // namespace lazyfill::jinja
