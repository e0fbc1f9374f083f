// Arithmetic and slices, as Python has them.
#include <algorithm>
#include <cmath>

#include "tokenizer/jinja/formatting.h"
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

// Python's divmod() of floats; b is not zero.
std::pair<double, double> divide(double a, double b) {
  double remainder = std::fmod(a, b);
  double quotient = (a - remainder) / b;
  if (remainder == 0) {
    remainder = std::copysign(0.0, b);
  } else if ((b < 0) != (remainder < 0)) {
    remainder += b;
    quotient -= 1;
  }
  if (quotient == 0) return {std::copysign(0.0, a / b), remainder};
  const double floor = std::floor(quotient);
  return {quotient - floor > 0.5 ? floor + 1 : floor, remainder};
}

Value real(Interpreter& run, std::string_view op, double a, double b) {
  if (op == "+") return Value(a + b);
  if (op == "-") return Value(a - b);
  if (op == "*") return Value(a * b);
  if (op == "**") {
    if (a == 0 && b < 0) return run.fail("division by zero");
    const double result = std::pow(a, b);
    const bool finite = std::isfinite(a) && std::isfinite(b);
    return finite && !std::isfinite(result) ? run.fail("a number is out of range") : Value(result);
  }
  if (b == 0) return run.fail("division by zero");
  if (op == "/") return Value(a / b);
  const auto [quotient, remainder] = divide(a, b);
  return Value(op == "//" ? quotient : remainder);
}

Value repeated(Interpreter& run, const Value& value, int64_t count) {
  if (const Text* text = value.marked_text()) {
    BoundedText out = run.text();
    out.append_times(*text, count);
    Value made = run.make(std::move(out));
    return value.is_markup() && made.text() != nullptr ? Value::markup(*made.marked_text()) : made;
  }
  std::vector<Value> items;
  for (int64_t i = 0; i < count && !value.list()->items.empty() && run.spend(4 * value.list()->items.size());
       ++i) {
    items.insert(items.end(), value.list()->items.begin(), value.list()->items.end());
  }
  return Value::make(value.list()->kind, std::move(items));
}

// Markup escapes what is added to it.
Value join_markup(Interpreter& run, const Value& a, const Value& b) {
  BoundedText out = run.text();
  for (const Value* value : {&a, &b}) {
    const Value text = value->is_markup() ? *value : escaped(run, *value->marked_text());
    if (run.failed()) return Value();
    out.append(*text.marked_text());
  }
  const Value made = run.make(std::move(out));
  return run.failed() ? Value() : Value::markup(*made.marked_text());
}

Value add(Interpreter& run, const Value& a, const Value& b) {
  if (a.is_markup() || b.is_markup()) return join_markup(run, a, b);
  BoundedText out = run.text();
  out.append(*a.marked_text());
  out.append(*b.marked_text());
  return run.make(std::move(out));
}

int64_t saturated_product(int64_t a, int64_t b) {
  int64_t product = 0;
  return __builtin_mul_overflow(a, b, &product) ? ((a < 0) == (b < 0) ? INT64_MAX : INT64_MIN) : product;
}

// Of a range; beyond 64 bits it wraps around, which can only show where a range is printed.
int64_t nth_of(const List& list, int64_t n) {
  int64_t value = 0;
  (void)__builtin_mul_overflow(n, list.range[2], &value);
  (void)__builtin_add_overflow(value, list.range[0], &value);
  return value;
}

Value part_of_text(Interpreter& run, const Value& object, int64_t begin, int64_t end) {
  TextView text(*object.marked_text());
  text.remove_prefix(first_characters(text, static_cast<size_t>(begin)).size());
  BoundedText out = run.text();
  out.append(first_characters(text, static_cast<size_t>(end - begin)));
  const Value made = run.make(std::move(out));
  return object.is_markup() && !run.failed() ? Value::markup(*made.marked_text()) : made;
}

bool is_repeated(const Value& value) {
  return value.text() != nullptr || value.is_kind(List::Kind::kList) || value.is_kind(List::Kind::kTuple);
}

}  // namespace

Value Interpreter::binary(std::string_view op, const Value& a, const Value& b) {
  if (failed()) return Value();
  if (op == "+" && a.text() != nullptr && b.text() != nullptr) return add(*this, a, b);
  for (const List::Kind kind : {List::Kind::kList, List::Kind::kTuple}) {
    if (op != "+" || !a.is_kind(kind) || !b.is_kind(kind)) continue;
    std::vector<Value> items = items_of(a);
    const std::vector<Value> more = items_of(b);
    items.insert(items.end(), more.begin(), more.end());
    return Value::make(kind, std::move(items));
  }
  if (op == "%" && a.text() != nullptr) return format_percent(*this, *a.marked_text(), b);
  return arithmetic(*this, op, a, b);
}

Value arithmetic(Interpreter& run, std::string_view op, const Value& a, const Value& b) {
  if (run.failed()) return Value();
  const bool said = a.is_said() || b.is_said();
  if (a.integer() && b.integer() && op != "/" && !(op == "**" && *b.integer() < 0)) {
    return whole(run, op, *a.integer(), *b.integer()).as_said(said);
  }
  if (a.number() && b.number()) return real(run, op, *a.number(), *b.number()).as_said(said);
  if (op == "*" && is_repeated(a) && b.integer()) return repeated(run, a, *b.integer());
  if (op == "*" && is_repeated(b) && a.integer()) return repeated(run, b, *a.integer());
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
  if (object.text() == nullptr && object.sequence() == nullptr) {
    return run.fail("a value of type " + std::string(object.type_name()) + " cannot be sliced");
  }
  for (const Value* bound : {&begin, &end, &step}) {
    if (!bound->is_none() && !bound->integer())
      return run.fail("the bounds of a slice must be whole numbers");
  }
  const int64_t by = step.integer().value_or(1);
  if (by == 0) return run.fail("the step of a slice is zero");
  const bool is_plain_text =
      object.text() != nullptr && by == 1;  // the common case, without a value a character
  if (is_plain_text && !run.spend(object.text()->size() / 8)) return Value();
  const std::vector<Value> items = is_plain_text ? std::vector<Value>() : run.items_of(object);
  if (run.failed()) return Value();
  const auto n = static_cast<int64_t>(is_plain_text ? utf8::length(*object.text()) : items.size());
  const int64_t low = by > 0 ? 0 : -1;
  const int64_t high = by > 0 ? n : n - 1;
  const auto bound_of = [&](const Value& bound, int64_t fallback) {
    if (bound.is_none()) return fallback;
    const int64_t at = *bound.integer() < 0 ? *bound.integer() + n : *bound.integer();
    return std::min(std::max(at, low), high);
  };
  const int64_t first = bound_of(begin, by > 0 ? low : high);
  const int64_t last = bound_of(end, by > 0 ? high : low);
  if (is_plain_text) return part_of_text(run, object, first, std::max(first, last));
  std::vector<Value> kept;
  for (int64_t i = first; by > 0 ? i < last : i > last;) {
    kept.push_back(items[static_cast<size_t>(i)]);
    if (__builtin_add_overflow(i, by, &i)) break;
  }
  if (const List* list = object.list()) {
    List part;
    part.kind = list->kind;
    part.items = std::move(kept);
    if (list->kind == List::Kind::kRange) {
      part.range = {nth_of(*list, first), nth_of(*list, last), saturated_product(list->range[2], by)};
    }
    return Value(std::move(part));
  }
  BoundedText out = run.text();
  for (const Value& character : kept) out.append(*character.marked_text());
  const Value made = run.make(std::move(out));
  return object.is_markup() && !run.failed() ? Value::markup(*made.marked_text()) : made;
}

}  // namespace lazyfill::jinja
