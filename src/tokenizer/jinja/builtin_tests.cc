// x is NAME
#include <algorithm>
#include <array>

#include "tokenizer/jinja/interpreter.h"
#include "tokenizer/jinja/text_functions.h"

namespace lazyfill::jinja {
namespace {

using Args = Arguments;

const Value& other(const Args& arguments) {
  static const Value kMissing;
  return arguments.positional.empty() ? kMissing : arguments.positional[0];
}

bool ordered(Interpreter& run, const Value& a, const Args& arguments, bool (*accept)(int)) {
  const auto order = compare(a, other(arguments));
  if (!order)
    run.fail("values of the types " + std::string(a.type_name()) + " and " +
             std::string(other(arguments).type_name()) + " have no order");
  return order && accept(*order);
}

bool divides(Interpreter& run, const Value& value, int64_t divisor, int64_t remainder) {
  if (!value.integer() || divisor == 0) {
    run.fail("a test of divisibility needs whole numbers");
    return false;
  }
  if (divisor == -1) return remainder == 0;  // the one division that could overflow
  return std::abs(*value.integer() % divisor) == remainder;
}

bool is_case(const Value& value, std::string (*convert)(std::string_view),
             std::string (*opposite)(std::string_view)) {
  const std::string* text = value.text();
  return text != nullptr && convert(*text) == *text && opposite(*text) != *text;
}

struct Entry {
  std::string_view name;
  Test test;
};

const std::array<Entry, 36> kTests{{
    {"defined", [](Interpreter&, const Value& v, const Args&) { return !v.is_undefined(); }},
    {"undefined", [](Interpreter&, const Value& v, const Args&) { return v.is_undefined(); }},
    {"none", [](Interpreter&, const Value& v, const Args&) { return v.is_none(); }},
    {"boolean", [](Interpreter&, const Value& v, const Args&) { return v.is_bool(); }},
    {"true", [](Interpreter&, const Value& v, const Args&) { return v.is_bool() && v.truthy(); }},
    {"false", [](Interpreter&, const Value& v, const Args&) { return v.is_bool() && !v.truthy(); }},
    {"integer", [](Interpreter&, const Value& v, const Args&) { return v.is_int(); }},
    {"float", [](Interpreter&, const Value& v, const Args&) { return v.is_float(); }},
    {"number", [](Interpreter&, const Value& v, const Args&) { return v.is_number(); }},
    {"string", [](Interpreter&, const Value& v, const Args&) { return v.text() != nullptr; }},
    {"mapping", [](Interpreter&, const Value& v, const Args&) { return v.dict() != nullptr; }},
    {"sequence", [](Interpreter&, const Value& v,
                    const Args&) { return v.text() || v.list() || v.dict() || v.is_undefined(); }},
    {"iterable", [](Interpreter&, const Value& v,
                    const Args&) { return v.text() || v.list() || v.dict() || v.is_undefined(); }},
    {"callable", [](Interpreter&, const Value& v, const Args&) { return v.function() != nullptr; }},
    {"even", [](Interpreter& run, const Value& v, const Args&) { return divides(run, v, 2, 0); }},
    {"odd", [](Interpreter& run, const Value& v, const Args&) { return divides(run, v, 2, 1); }},
    {"divisibleby", [](Interpreter& run, const Value& v,
                       const Args& a) { return divides(run, v, other(a).integer().value_or(0), 0); }},
    {"lower", [](Interpreter&, const Value& v, const Args&) { return is_case(v, lower, upper); }},
    {"upper", [](Interpreter&, const Value& v, const Args&) { return is_case(v, upper, lower); }},
    {"in", [](Interpreter& run, const Value& v, const Args& a) { return run.contains(other(a), v); }},
    {"sameas", [](Interpreter&, const Value& v,
                  const Args& a) { return v.type_name() == other(a).type_name() && equals(v, other(a)); }},
    {"eq", [](Interpreter&, const Value& v, const Args& a) { return equals(v, other(a)); }},
    {"equalto", [](Interpreter&, const Value& v, const Args& a) { return equals(v, other(a)); }},
    {"==", [](Interpreter&, const Value& v, const Args& a) { return equals(v, other(a)); }},
    {"ne", [](Interpreter&, const Value& v, const Args& a) { return !equals(v, other(a)); }},
    {"!=", [](Interpreter&, const Value& v, const Args& a) { return !equals(v, other(a)); }},
    {"lt", [](Interpreter& run, const Value& v,
              const Args& a) { return ordered(run, v, a, [](int o) { return o < 0; }); }},
    {"lessthan", [](Interpreter& run, const Value& v,
                    const Args& a) { return ordered(run, v, a, [](int o) { return o < 0; }); }},
    {"<", [](Interpreter& run, const Value& v,
             const Args& a) { return ordered(run, v, a, [](int o) { return o < 0; }); }},
    {"le", [](Interpreter& run, const Value& v,
              const Args& a) { return ordered(run, v, a, [](int o) { return o <= 0; }); }},
    {"<=", [](Interpreter& run, const Value& v,
              const Args& a) { return ordered(run, v, a, [](int o) { return o <= 0; }); }},
    {"gt", [](Interpreter& run, const Value& v,
              const Args& a) { return ordered(run, v, a, [](int o) { return o > 0; }); }},
    {"greaterthan", [](Interpreter& run, const Value& v,
                       const Args& a) { return ordered(run, v, a, [](int o) { return o > 0; }); }},
    {">", [](Interpreter& run, const Value& v,
             const Args& a) { return ordered(run, v, a, [](int o) { return o > 0; }); }},
    {"ge", [](Interpreter& run, const Value& v,
              const Args& a) { return ordered(run, v, a, [](int o) { return o >= 0; }); }},
    {">=", [](Interpreter& run, const Value& v,
              const Args& a) { return ordered(run, v, a, [](int o) { return o >= 0; }); }},
}};

}  // namespace

Test find_test(std::string_view name) {
  const auto found =
      std::find_if(kTests.begin(), kTests.end(), [name](const Entry& entry) { return entry.name == name; });
  return found == kTests.end() ? nullptr : found->test;
}

}  // namespace lazyfill::jinja
