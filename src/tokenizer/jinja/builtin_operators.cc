// Arithmetic and slices, as Python has them.
#include <cmath>

#include "tokenizer/jinja/interpreter.h"
#include "tokenizer/utf8.h"

namespace lazyfill::jinja {
namespace {

std::optional<int64_t> power(int64_t base, int64_t exponent) {
  int64_t result = 1;
  for (int64_t i = 0; i < exponent; ++i) {
    if (__builtin_mul_overflow(result, base, &result)) return std::nullopt;
    if (result == 0 || (result == 1 && base == 1)) return result;
    if (base == -1) return exponent % 2 == 0 ? 1 : -1;
  }
  return result;
}

// Rounds towards minus infinity; b is not zero, and not -1 where a is the smallest number.
int64_t floor_div(int64_t a, int64_t b) {
  return a / b - ((a % b != 0 && (a < 0) != (b < 0)) ? 1 : 0);
}

Value whole(Interpreter& run, std::string_view op, int64_t a, int64_t b) {
  int64_t result = 0;
  bool overflow = false;
  if (op == "+") {
    overflow = __builtin_add_overflow(a, b, &result);
  } else if (op == "-") {
    overflow = __builtin_sub_overflow(a, b, &result);
  } else if (op == "*") {
    overflow = __builtin_mul_overflow(a, b, &result);
  } else if (op == "**") {
    const auto raised = power(a, b);
    overflow = !raised;
    result = raised.value_or(0);
  } else if (b == 0) {
    return run.fail("division by zero");
  } else if (b == -1) {
    overflow = op == "//" && __builtin_sub_overflow(int64_t{0}, a, &result);
  } else {
    result = op == "//" ? floor_div(a, b) : a - b * floor_div(a, b);
  }
  return overflow ? run.fail("a number is out of range") : Value(result);
}

Value real(Interpreter& run, std::string_view op, double a, double b) {
  if (op == "+") return Value(a + b);
  if (op == "-") return Value(a - b);
  if (op == "*") return Value(a * b);
  if (op == "**") return Value(std::pow(a, b));
  if (b == 0) return run.fail("division by zero");
  if (op == "/") return Value(a / b);
  if (op == "//") return Value(std::floor(a / b));
  const double remainder = std::fmod(a, b);
  return Value(remainder != 0 && (remainder < 0) != (b < 0) ? remainder + b : remainder);
}

Value repeated(Interpreter& run, const Value& value, int64_t count) {
  if (const std::string* text = value.text()) {
    BoundedText out = run.text();
    for (int64_t i = 0; i < count && !text->empty() && !out.overflow(); ++i) out.append(*text);
    return run.make(std::move(out));
  }
  std::vector<Value> items;
  for (int64_t i = 0; i < count && !value.list()->items.empty() && run.spend(4 * value.list()->items.size());
       ++i) {
    items.insert(items.end(), value.list()->items.begin(), value.list()->items.end());
  }
  return Value(List{std::move(items), value.list()->is_tuple, {}});
}

}  // namespace

Value arithmetic(Interpreter& run, std::string_view op, const Value& a, const Value& b) {
  if (run.failed()) return Value();
  if (a.integer() && b.integer() && op != "/" && !(op == "**" && *b.integer() < 0)) {
    return whole(run, op, *a.integer(), *b.integer());
  }
  if (a.number() && b.number()) return real(run, op, *a.number(), *b.number());
  const bool a_repeats = a.text() != nullptr || a.list() != nullptr;
  const bool b_repeats = b.text() != nullptr || b.list() != nullptr;
  if (op == "*" && a_repeats && b.integer()) return repeated(run, a, *b.integer());
  if (op == "*" && b_repeats && a.integer()) return repeated(run, b, *a.integer());
  for (const Value* value : {&a, &b}) {
    if (value->is_undefined()) return run.fail(quoted(value->undefined()->name) + " is undefined");
  }
  return run.fail(quoted(op) + " does not work on values of the types " + std::string(a.type_name()) +
                  " and " + std::string(b.type_name()));
}

Value slice(Interpreter& run, const Value& object, const Value& begin, const Value& end, const Value& step) {
  if (object.is_undefined()) {
    return run.fail(quoted(object.undefined()->name) + " is undefined and has no items");
  }
  if (object.text() == nullptr && object.list() == nullptr) {
    return run.fail("a value of type " + std::string(object.type_name()) + " cannot be sliced");
  }
  for (const Value* bound : {&begin, &end, &step}) {
    if (!bound->is_none() && !bound->integer())
      return run.fail("the bounds of a slice must be whole numbers");
  }
  const std::vector<Value> items = run.items_of(object);
  if (run.failed()) return Value();
  const auto n = static_cast<int64_t>(items.size());
  const int64_t by = step.integer().value_or(1);
  if (by == 0) return run.fail("the step of a slice is zero");
  const int64_t low = by > 0 ? 0 : -1;
  const int64_t high = by > 0 ? n : n - 1;
  const auto bound_of = [&](const Value& bound, int64_t fallback) {
    if (bound.is_none()) return fallback;
    const int64_t at = *bound.integer() < 0 ? *bound.integer() + n : *bound.integer();
    return std::min(std::max(at, low), high);
  };
  const int64_t first = bound_of(begin, by > 0 ? low : high);
  const int64_t last = bound_of(end, by > 0 ? high : low);
  std::vector<Value> kept;
  for (int64_t i = first; by > 0 ? i < last : i > last;) {
    kept.push_back(items[static_cast<size_t>(i)]);
    if (__builtin_add_overflow(i, by, &i)) break;
  }
  if (object.list() != nullptr) return Value(List{std::move(kept), object.list()->is_tuple, {}});
  BoundedText out = run.text();
  for (const Value& character : kept) out.append(*character.text());
  return run.make(std::move(out));
}

}  // namespace lazyfill::jinja
