// x is NAME
#include <algorithm>
#include <array>

#include "tokenizer/jinja/filters.h"
#include "tokenizer/jinja/interpreter.h"
#include "tokenizer/jinja/text_functions.h"

namespace lazyfill::jinja {
namespace {

using Args = Arguments;

const Value& other(const Args& arguments) {
  return arguments.positional.empty() ? arguments.named[0].second : arguments.positional[0];
}

bool ordered(Interpreter& run, const Value& a, const Args& arguments, bool (*accept)(int)) {
  const auto order = compare(a, other(arguments));
  if (!order)
    run.fail("values of the types " + std::string(a.type_name()) + " and " +
             std::string(other(arguments).type_name()) + " have no order");
  return order && *order != kUnordered && accept(*order);
}

// Whether value % divisor is `remainder`, as the operator has it.
bool divides(Interpreter& run, const Value& value, const Value& divisor, int64_t remainder) {
  return equals(run.binary("%", value, divisor), Value(remainder));
}

// What a text names in one of the tables.
template <class Entry>
const Entry* names(Interpreter& run, const Value& value, const Entry* (*find)(std::string_view)) {
  if (!is_hashable(value)) run.fail("a value of type " + std::string(value.type_name()) + " cannot be a key");
  return value.text() == nullptr ? nullptr : find(*value.text());
}

const std::array<TestEntry, 39> kTests{{
    {"defined", 0, [](Interpreter&, const Value& v, const Args&) { return !v.is_undefined(); }},
    {"undefined", 0, [](Interpreter&, const Value& v, const Args&) { return v.is_undefined(); }},
    {"none", 0, [](Interpreter&, const Value& v, const Args&) { return v.is_none(); }},
    {"boolean", 0, [](Interpreter&, const Value& v, const Args&) { return v.is_bool(); }},
    {"true", 0, [](Interpreter&, const Value& v, const Args&) { return v.is_bool() && v.truthy(); }},
    {"false", 0, [](Interpreter&, const Value& v, const Args&) { return v.is_bool() && !v.truthy(); }},
    {"integer", 0, [](Interpreter&, const Value& v, const Args&) { return v.is_int(); }},
    {"float", 0, [](Interpreter&, const Value& v, const Args&) { return v.is_float(); }},
    {"number", 0, [](Interpreter&, const Value& v, const Args&) { return v.is_number(); }},
    {"string", 0, [](Interpreter&, const Value& v, const Args&) { return v.text() != nullptr; }},
    {"mapping", 0, [](Interpreter&, const Value& v, const Args&) { return v.dict() != nullptr; }},
    {"sequence", 0,
     [](Interpreter&, const Value& v, const Args&) {
       return v.text() || v.sequence() || v.dict() || v.is_undefined();
     }},
    {"iterable", 0,
     [](Interpreter&, const Value& v, const Args&) {
       return v.text() || v.list() || v.dict() || v.is_undefined();
     }},
    {"callable", 0,
     [](Interpreter&, const Value& v, const Args&) { return v.function() != nullptr || v.is_undefined(); }},
    {"filter", 0,
     [](Interpreter& run, const Value& v, const Args&) { return names(run, v, find_filter) != nullptr; }},
    {"test", 0,
     [](Interpreter& run, const Value& v, const Args&) { return names(run, v, find_test) != nullptr; }},
    {"escaped", 0, [](Interpreter&, const Value& v, const Args&) { return v.is_markup(); }},
    {"even", 0,
     [](Interpreter& run, const Value& v, const Args&) { return divides(run, v, Value(int64_t{2}), 0); }},
    {"odd", 0,
     [](Interpreter& run, const Value& v, const Args&) { return divides(run, v, Value(int64_t{2}), 1); }},
    {"divisibleby", 1,
     [](Interpreter& run, const Value& v, const Args& a) { return divides(run, v, other(a), 0); }},
    {"lower", 0,
     [](Interpreter& run, const Value& v, const Args&) { return has_case(run.str(v).bytes(), false); }},
    {"upper", 0,
     [](Interpreter& run, const Value& v, const Args&) { return has_case(run.str(v).bytes(), true); }},
    {"in", 1, [](Interpreter& run, const Value& v, const Args& a) { return run.contains(other(a), v); }},
    {"sameas", 1, [](Interpreter&, const Value& v, const Args& a) { return v.is_same(other(a)); }},
    {"eq", 1, [](Interpreter&, const Value& v, const Args& a) { return equals(v, other(a)); }},
    {"equalto", 1, [](Interpreter&, const Value& v, const Args& a) { return equals(v, other(a)); }},
    {"==", 1, [](Interpreter&, const Value& v, const Args& a) { return equals(v, other(a)); }},
    {"ne", 1, [](Interpreter&, const Value& v, const Args& a) { return !equals(v, other(a)); }},
    {"!=", 1, [](Interpreter&, const Value& v, const Args& a) { return !equals(v, other(a)); }},
    {"lt", 1,
     [](Interpreter& run, const Value& v, const Args& a) {
       return ordered(run, v, a, [](int o) { return o < 0; });
     }},
    {"lessthan", 1,
     [](Interpreter& run, const Value& v, const Args& a) {
       return ordered(run, v, a, [](int o) { return o < 0; });
     }},
    {"<", 1,
     [](Interpreter& run, const Value& v, const Args& a) {
       return ordered(run, v, a, [](int o) { return o < 0; });
     }},
    {"le", 1,
     [](Interpreter& run, const Value& v, const Args& a) {
       return ordered(run, v, a, [](int o) { return o <= 0; });
     }},
    {"<=", 1,
     [](Interpreter& run, const Value& v, const Args& a) {
       return ordered(run, v, a, [](int o) { return o <= 0; });
     }},
    {"gt", 1,
     [](Interpreter& run, const Value& v, const Args& a) {
       return ordered(run, v, a, [](int o) { return o > 0; });
     }},
    {"greaterthan", 1,
     [](Interpreter& run, const Value& v, const Args& a) {
       return ordered(run, v, a, [](int o) { return o > 0; });
     }},
    {">", 1,
     [](Interpreter& run, const Value& v, const Args& a) {
       return ordered(run, v, a, [](int o) { return o > 0; });
     }},
    {"ge", 1,
     [](Interpreter& run, const Value& v, const Args& a) {
       return ordered(run, v, a, [](int o) { return o >= 0; });
     }},
    {">=", 1,
     [](Interpreter& run, const Value& v, const Args& a) {
       return ordered(run, v, a, [](int o) { return o >= 0; });
     }},
}};

}  // namespace

const TestEntry* find_test(std::string_view name) {
  const auto found = std::find_if(kTests.begin(), kTests.end(),
                                  [name](const TestEntry& entry) { return entry.name == name; });
  return found == kTests.end() ? nullptr : &*found;
}

}  // namespace lazyfill::jinja
