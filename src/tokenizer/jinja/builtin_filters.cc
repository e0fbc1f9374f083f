// x | NAME for texts and numbers.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

#include "tokenizer/jinja/filters.h"
#include "tokenizer/jinja/formatting.h"
#include "tokenizer/jinja/text_functions.h"
#include "tokenizer/utf8.h"

namespace lazyfill::jinja {
namespace {

using Args = Arguments;

Value bounded(Interpreter& run, const TextView& text) {
  BoundedText out = run.text();
  out.append(text);
  return run.make(std::move(out));
}

// A text that keeps being markup where `input` was.
Value alike(Interpreter& run, const Value& input, const TextView& text) {
  const Value value = bounded(run, text);
  return input.is_markup() && value.text() != nullptr ? Value::markup(*value.marked_text()) : value;
}

Value trim(Interpreter& run, const Value& value, const Args& arguments) {
  const Value* set = arguments.get(0, "chars");
  if (set != nullptr && !set->is_none() && set->text() == nullptr)
    return run.fail("the filter 'trim' takes a string");
  const Text text = run.str(value);
  if (set != nullptr && set->text() != nullptr && !run.spend_search(text.bytes().size(), set->text()->size()))
    return Value();
  return alike(run, value, stripped(text, Side::kBoth, set == nullptr ? nullptr : set->text()));
}

Value tojson(Interpreter& run, const Value& value, const Args& arguments) {
  JsonStyle style;
  style.ensure_ascii = flag(arguments, 0, "ensure_ascii");
  style.sort_keys = flag(arguments, 3, "sort_keys");
  const Value* indent = arguments.get(1, "indent");
  if (indent != nullptr && !indent->is_none()) {
    if (indent->text() == nullptr && !indent->integer()) return run.fail("'tojson' takes a number as indent");
    const Value margin = indent->text() != nullptr ? *indent : run.binary("*", Value(" "), *indent);
    if (run.failed()) return Value();
    style.indent = *margin.text();
    style.item_separator.resize(1);  // the comma
  }
  if (const Value* pair = arguments.get(2, "separators"); pair != nullptr && !pair->is_none()) {
    const std::vector<Value> both = run.items_of(*pair);
    if (both.size() != 2 || both[0].text() == nullptr || both[1].text() == nullptr)
      return run.fail("'tojson' takes two separators");
    style.item_separator = *both[0].text();
    style.key_separator = *both[1].text();
  }
  BoundedText out = run.text();
  if (!append_json(value, style, out)) return run.fail("a value has no form in JSON");
  return run.make(std::move(out));
}

Value fallback(Interpreter&, const Value& value, const Args& arguments) {
  const bool missing = value.is_undefined() || (flag(arguments, 1, "boolean") && !value.truthy());
  if (!missing) return value;
  const Value* other = arguments.get(0, "default_value");
  return other == nullptr ? Value("") : *other;
}

Value replace(Interpreter& run, const Value& value, const Args& arguments) {
  const Value* count = arguments.get(2, "count");
  if (count != nullptr && !count->is_none() && !count->integer())
    return run.fail("the filter 'replace' takes a whole number as count");
  return replaced(run, run.str(value), run.str(*arguments.get(0, "old")).bytes(),
                  run.str(*arguments.get(1, "new")),
                  count == nullptr || count->is_none() ? -1 : *count->integer());
}

Value to_integer(Interpreter& run, const Value& value, const Args& arguments) {
  const Value* other = arguments.get(0, "default");
  const Value* base = arguments.get(1, "base");
  const Value otherwise = other == nullptr ? Value(int64_t{0}) : *other;
  if (value.is_undefined()) return run.fail(quoted(value.undefined()->name) + " is undefined");
  if (value.integer()) return Value(*value.integer());
  std::optional<double> number = value.number();
  if (value.text() != nullptr) {
    const auto n = read_integer(*value.text(), base == nullptr ? 10 : base->integer().value_or(10));
    if (n.out_of_range) return run.fail("a number is out of range");
    if (n.value) return Value(*n.value);
    number = read_float(*value.text());
  }
  if (!number || !std::isfinite(*number)) return otherwise;
  if (!(std::abs(*number) < 9.2e18)) return run.fail("a number is out of range");
  return Value(static_cast<int64_t>(*number));
}

Value to_float(Interpreter& run, const Value& value, const Args& arguments) {
  const Value* other = arguments.get(0, "default");
  if (value.is_undefined()) return run.fail(quoted(value.undefined()->name) + " is undefined");
  const auto number = value.text() != nullptr ? read_float(*value.text()) : value.number();
  if (number) return Value(*number);
  return other == nullptr ? Value(0.0) : *other;
}

Value absolute(Interpreter& run, const Value& value, const Args&) {
  if (value.is_float()) return Value(std::abs(*value.number()));
  if (!value.integer()) return run.fail("the filter 'abs' takes a number");
  return *value.integer() < 0 ? arithmetic(run, "-", Value(int64_t{0}), value) : Value(*value.integer());
}

// Python's round(): the decimal digits of the exact value, ties to even.
Value rounded(Interpreter& run, const Value& value, int64_t precision) {
  if (value.integer() && precision >= 0) return Value(*value.integer());
  const double number = *value.number();
  if (!std::isfinite(number) || precision > 320) return Value(number);
  if (precision >= 0) {
    char buffer[700];
    std::snprintf(buffer, sizeof(buffer), "%.*f", static_cast<int>(precision), number);
    return Value(std::strtod(buffer, nullptr));
  }
  if (precision < -18) return value.is_float() ? Value(0.0) : Value(int64_t{0});
  const long double scale = std::pow(10.0L, static_cast<long double>(-precision));
  const long double result = std::nearbyint(static_cast<long double>(number) / scale) * scale;
  if (value.is_float()) return Value(static_cast<double>(result));
  if (std::abs(result) > 9.2e18L) return run.fail("a number is out of range");
  return Value(static_cast<int64_t>(result));
}

Value round_number(Interpreter& run, const Value& value, const Args& arguments) {
  const Value* precision = arguments.get(0, "precision");
  const Value* method = arguments.get(1, "method");
  const std::string how = method == nullptr ? "common" : run.str(*method).bytes();
  if (how != "common" && how != "ceil" && how != "floor")
    return run.fail("the method of 'round' is common, ceil or floor");
  if (!value.number()) return run.fail("the filter 'round' takes a number");
  if (how == "common" && precision != nullptr && precision->is_none())
    return rounded(run, to_integer(run, rounded(run, value, 0), {}), 0);
  if (precision != nullptr && !precision->integer())
    return run.fail("the filter 'round' takes a whole number");
  const int64_t digits = precision == nullptr ? 0 : *precision->integer();
  if (how == "common") return rounded(run, value, digits);
  const double scale = std::pow(10.0, static_cast<double>(digits));
  const double scaled = *value.number() * scale;
  if (!std::isfinite(scaled)) return run.fail("a number is out of range");
  return Value(((how == "ceil" ? std::ceil(scaled) : std::floor(scaled)) + 0.0) / scale);  // no -0.0
}

Value indent(Interpreter& run, const Value& value, const Args& arguments) {
  if (value.text() == nullptr) return run.fail("the filter 'indent' takes a text");
  const Value* width = arguments.get(0, "width");
  const Value spaces = width == nullptr ? Value(int64_t{4}) : *width;
  const Value margin_value = spaces.text() != nullptr ? spaces : run.binary("*", Value(" "), spaces);
  if (run.failed()) return Value();
  const TextView margin(*margin_value.marked_text());
  Text text = run.str(value);  // the lines are views of it
  text.append("\n", false);
  const bool blank = flag(arguments, 2, "blank");
  BoundedText out = run.text();
  bool first_line = true;
  if (flag(arguments, 1, "first")) out.append(margin);
  for (const TextView& line : lines_of(text)) {
    if (!first_line) out.append("\n");
    if (!first_line && (blank || !line.empty())) out.append(margin);
    out.append(line);
    first_line = false;
  }
  return run.make(std::move(out));
}

Value center(Interpreter& run, const Value& value, const Args& arguments) {
  const Value* width = arguments.get(0, "width");
  if (width != nullptr && !width->integer()) return run.fail("the filter 'center' takes a whole number");
  return padded(run, run.str(value), width == nullptr ? 80 : *width->integer(), " ", Side::kBoth);
}

Value truncate(Interpreter& run, const Value& value, const Args& arguments) {
  const Value* length = arguments.get(0, "length");
  const Value* end_value = arguments.get(2, "end");
  const Value* leeway = arguments.get(3, "leeway");
  const Text text = run.str(value);
  const Text end = end_value == nullptr ? Text("...") : run.str(*end_value);
  const int64_t longest = length == nullptr ? 255 : length->integer().value_or(-1);
  const int64_t slack = leeway == nullptr || leeway->is_none() ? 5 : leeway->integer().value_or(-1);
  const auto n_end = static_cast<int64_t>(utf8::length(end.bytes()));
  const bool counts = value.is_undefined() || value.dict() != nullptr || value.list() != nullptr;
  const size_t n_items = value.dict() != nullptr   ? value.dict()->items.size()
                         : value.list() != nullptr ? value.list()->items.size()
                                                   : 0;
  if (counts && longest >= n_end && slack >= 0 && static_cast<int64_t>(n_items) <= longest) return value;
  if (value.text() == nullptr || longest < n_end || slack < 0)
    return run.fail("the filter 'truncate' takes a text, and a length above that of its end");
  int64_t sum = 0;
  if (__builtin_add_overflow(longest, slack, &sum)) return value;
  if (static_cast<int64_t>(utf8::length(text.bytes())) <= sum) return value;
  TextView head = first_characters(text, static_cast<size_t>(longest - n_end));
  if (!flag(arguments, 1, "killwords")) head = head.substr(0, std::min(head.bytes().rfind(' '), head.size()));
  BoundedText out = run.text();
  out.append(head);
  out.append(end);
  return run.make(std::move(out));
}

Value count_words(Interpreter& run, const Value& value, const Args&) {
  const std::string text = run.str(value).take_bytes();
  int64_t n = 0;
  bool inside = false;
  for (size_t position = 0; position < text.size();) {
    const utf8::Decoded c = utf8::decode(text, position);
    const bool word = utf8::is_letter(c.code_point) || utf8::is_number(c.code_point) || c.code_point == '_';
    if (word && !inside) ++n;
    inside = word;
    position += std::max<size_t>(1, c.n_bytes);
  }
  return Value(n);
}

Value force_escape(Interpreter& run, const Value& value, const Args&) {
  const Value text = escaped(run, run.str(value));
  return run.failed() ? Value() : Value::markup(*text.marked_text());
}

Value escape(Interpreter& run, const Value& value, const Args& arguments) {
  return value.is_markup() ? value : force_escape(run, value, arguments);
}

Value safe(Interpreter& run, const Value& value, const Args&) {
  return value.is_markup() ? value : Value::markup(run.str(value));
}

Value to_text(Interpreter& run, const Value& value, const Args&) {
  return value.text() != nullptr ? value : Value(run.str(value));
}

Value url_encode(Interpreter& run, const Value& value, const Args&) {
  if (value.dict() != nullptr || (value.list() != nullptr))
    return run.fail("the filter 'urlencode' is supported for texts only");
  BoundedText out = run.text();
  const Text text = run.str(value);
  for (size_t i = 0; i < text.bytes().size() && !out.overflow(); ++i) {
    const char c = text.bytes()[i];
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       std::string_view("_.-~/").find(c) != std::string_view::npos;
    char buffer[4] = {};
    if (!plain) std::snprintf(buffer, sizeof(buffer), "%%%02X", static_cast<unsigned char>(c));
    out.append(plain ? TextView(text).substr(i, 1) : TextView(buffer));
  }
  return run.make(std::move(out));
}

// An attribute that is none of the items: a method.
Value attribute(Interpreter& run, const Value& value, const Args& arguments) {
  const Value* name = arguments.get(0, "name");
  if (name->text() == nullptr) return run.fail("the filter 'attr' takes a name");
  if (value.dict() != nullptr && !has_method(value, *name->text())) return Value(Undefined{*name->text()});
  return value.is_undefined() ? Value(Undefined{*name->text()}) : run.attribute(value, *name->text());
}

Value format(Interpreter& run, const Value& value, const Args& arguments) {
  if (!arguments.named.empty() && !arguments.positional.empty())
    return run.fail("the filter 'format' takes either named arguments or others");
  if (arguments.named.empty()) {
    std::vector<Value> values = arguments.positional;
    return format_percent(run, run.str(value), Value::tuple(std::move(values)));
  }
  Dict values;
  for (const auto& argument : arguments.named) values.set(Value(argument.first), argument.second);
  return format_percent(run, run.str(value), Value(std::move(values)));
}

template <Text (*convert)(const TextView&)>
Value converted(Interpreter& run, const Value& value, const Args&) {
  return alike(run, value, convert(run.str(value)));
}

Value title(Interpreter& run, const Value& value, const Args&) {
  return bounded(run, titled(run.str(value), false));
}

const std::array<FilterEntry, 25> kFilters{{
    {"trim", "chars", 0, trim},
    {"upper", "", 0, converted<upper>},
    {"lower", "", 0, converted<lower>},
    {"capitalize", "", 0, converted<capitalized>},
    {"title", "", 0, title},
    {"string", "", 0, to_text},
    {"safe", "", 0, safe},
    {"escape", "", 0, escape},
    {"e", "", 0, escape},
    {"forceescape", "", 0, force_escape},
    {"tojson", "ensure_ascii indent separators sort_keys", 0, tojson},
    {"default", "default_value boolean", 0, fallback},
    {"d", "default_value boolean", 0, fallback},
    {"replace", "old new count", 2, replace},
    {"int", "default base", 0, to_integer},
    {"float", "default", 0, to_float},
    {"abs", "", 0, absolute},
    {"round", "precision method", 0, round_number},
    {"indent", "width first blank", 0, indent},
    {"center", "width", 0, center},
    {"truncate", "length killwords end leeway", 0, truncate},
    {"wordcount", "", 0, count_words},
    {"urlencode", "", 0, url_encode},
    {"attr", "name", 1, attribute},
    {"format", "*", 0, format},
}};

}  // namespace

const FilterEntry* find_filter(std::string_view name) {
  const auto found = std::find_if(kFilters.begin(), kFilters.end(),
                                  [name](const FilterEntry& entry) { return entry.name == name; });
  return found == kFilters.end() ? find_sequence_filter(name) : &*found;
}

bool flag(const Arguments& arguments, size_t index, std::string_view name) {
  const Value* value = arguments.get(index, name);
  return value != nullptr && value->truthy();
}

bool is_hashable(const Value& value) {
  if (value.is_kind(List::Kind::kTuple))
    return std::all_of(value.list()->items.begin(), value.list()->items.end(), is_hashable);
  return value.dict() == nullptr && (value.list() == nullptr || !value.is_kind(List::Kind::kList));
}

}  // namespace lazyfill::jinja
