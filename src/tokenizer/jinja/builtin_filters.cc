// x | NAME
#include <algorithm>
#include <array>
#include <cmath>

#include "tokenizer/jinja/text_functions.h"
#include "tokenizer/utf8.h"

namespace lazyfill::jinja {
namespace {

using Args = Arguments;

Value bounded(Interpreter& run, std::string_view text) {
  BoundedText out = run.text();
  out.append(text);
  return run.make(std::move(out));
}

bool flag(const Args& arguments, size_t index, std::string_view name) {
  const Value* value = arguments.get(index, name);
  return value != nullptr && value->truthy();
}

Value trim(Interpreter& run, const Value& value, const Args& arguments) {
  const Value* set = arguments.get(0, "chars");
  const std::string text = run.str(value);
  return bounded(run, stripped(text, Side::kBoth, set == nullptr ? nullptr : set->text()));
}

Value length(Interpreter& run, const Value& value, const Args&) {
  if (value.text() != nullptr) return Value(static_cast<int64_t>(utf8::length(*value.text())));
  if (value.list() != nullptr) return Value(static_cast<int64_t>(value.list()->items.size()));
  if (value.dict() != nullptr) return Value(static_cast<int64_t>(value.dict()->items.size()));
  if (value.is_undefined()) return Value(int64_t{0});
  return run.fail("a value of type " + std::string(value.type_name()) + " has no length");
}

Value join(Interpreter& run, const Value& value, const Args& arguments) {
  std::vector<Value> items = run.items_of(value);
  const Value* separator = arguments.get(0, "d");
  if (const Value* attribute = arguments.get(1, "attribute")) {
    for (Value& item : items) item = run.item(item, *attribute);
  }
  return joined(run, items, separator == nullptr ? std::string() : run.str(*separator));
}

Value tojson(Interpreter& run, const Value& value, const Args& arguments) {
  const Value* indent = arguments.get(4, "indent");
  if (indent == nullptr && !arguments.positional.empty()) indent = &arguments.positional[0];
  BoundedText out = run.text();
  if (!append_json(value, indent == nullptr ? std::nullopt : indent->integer(), out)) {
    return run.fail("a value has no form in JSON");
  }
  return run.make(std::move(out));
}

Value fallback(Interpreter&, const Value& value, const Args& arguments) {
  const bool missing = value.is_undefined() || (flag(arguments, 1, "boolean") && !value.truthy());
  if (!missing) return value;
  const Value* other = arguments.get(0, "default_value");
  return other == nullptr ? Value("") : *other;
}

Value replace(Interpreter& run, const Value& value, const Args& arguments) {
  const Value* from = arguments.get(0, "old");
  const Value* to = arguments.get(1, "new");
  const Value* count = arguments.get(2, "count");
  if (from == nullptr || to == nullptr) return run.fail("the filter 'replace' takes two strings");
  return replaced(run, run.str(value), run.str(*from), run.str(*to),
                  count == nullptr ? -1 : count->integer().value_or(-1));
}

Value items(Interpreter& run, const Value& value, const Args&) {
  if (value.is_undefined()) return Value::list({});
  if (value.dict() == nullptr) return run.fail("the filter 'items' takes a mapping");
  return call_method(run, value, "items", {});
}

Value first(Interpreter& run, const Value& value, const Args&) {
  const std::vector<Value> all = run.items_of(value);
  return all.empty() ? Value(Undefined{"first"}) : all.front();
}

Value last(Interpreter& run, const Value& value, const Args&) {
  const std::vector<Value> all = run.items_of(value);
  return all.empty() ? Value(Undefined{"last"}) : all.back();
}

// Arguments without the first `n`.
Args rest_of(const Args& arguments, size_t n) {
  Args rest;
  for (size_t i = n; i < arguments.positional.size(); ++i) rest.positional.push_back(arguments.positional[i]);
  return rest;
}

Value map(Interpreter& run, const Value& value, const Args& arguments) {
  std::vector<Value> all = run.items_of(value);
  const Value* attribute = arguments.positional.empty() ? arguments.get(0, "attribute") : nullptr;
  const Value* filter = attribute == nullptr ? arguments.get(0, "filter") : nullptr;
  if (attribute == nullptr && (filter == nullptr || filter->text() == nullptr)) {
    return run.fail("the filter 'map' takes an attribute or the name of a filter");
  }
  for (Value& item : all) {
    if (attribute == nullptr) {
      item = run.filter(*filter->text(), item, rest_of(arguments, 1));
      continue;
    }
    item = run.item(item, *attribute);
    const Value* other = arguments.get(1, "default");
    if (item.is_undefined() && other != nullptr) item = *other;
  }
  return Value::list(std::move(all));
}

// select, reject, selectattr and rejectattr.
Value choose(Interpreter& run, const Value& value, const Args& arguments, bool by_attribute, bool wanted) {
  const size_t n_skipped = by_attribute ? 1 : 0;
  if (by_attribute && arguments.positional.empty())
    return run.fail("'selectattr' and 'rejectattr' take an attribute");
  const Value* test = arguments.get(n_skipped, "test");
  std::vector<Value> kept;
  for (const Value& item : run.items_of(value)) {
    if (!run.spend(1)) return Value();
    const Value subject = by_attribute ? run.item(item, arguments.positional[0]) : item;
    const bool holds = test == nullptr ? subject.truthy()
                                       : run.test(run.str(*test), subject, rest_of(arguments, n_skipped + 1));
    if (holds == wanted) kept.push_back(item);
  }
  return Value::list(std::move(kept));
}

Value to_integer(Interpreter& run, const Value& value, const Args& arguments) {
  const Value* other = arguments.get(0, "default");
  const Value otherwise = other == nullptr ? Value(int64_t{0}) : *other;
  if (value.integer()) return Value(*value.integer());
  double number = std::nan("");
  if (value.is_float()) {
    number = *value.number();
  } else if (value.text() != nullptr) {
    const std::string text(stripped(*value.text(), Side::kBoth, nullptr));
    char* end = nullptr;
    number = std::strtod(text.c_str(), &end);
    if (text.empty() || *end != '\0') return otherwise;
  }
  if (!(std::abs(number) < 9e15)) {
    return value.is_float() || value.text() != nullptr ? run.fail("a number is out of range") : otherwise;
  }
  return Value(static_cast<int64_t>(number));
}

Value to_float(Interpreter&, const Value& value, const Args& arguments) {
  const Value* other = arguments.get(0, "default");
  if (value.number()) return Value(*value.number());
  if (value.text() != nullptr) {
    const std::string text(stripped(*value.text(), Side::kBoth, nullptr));
    char* end = nullptr;
    const double number = std::strtod(text.c_str(), &end);
    if (!text.empty() && *end == '\0') return Value(number);
  }
  return other == nullptr ? Value(0.0) : *other;
}

Value absolute(Interpreter& run, const Value& value, const Args&) {
  if (value.is_float()) return Value(std::abs(*value.number()));
  if (!value.integer()) return run.fail("the filter 'abs' takes a number");
  return *value.integer() < 0 ? arithmetic(run, "-", Value(int64_t{0}), value) : Value(*value.integer());
}

Value round_number(Interpreter& run, const Value& value, const Args& arguments) {
  const Value* precision = arguments.get(0, "precision");
  const Value* method = arguments.get(1, "method");
  if (!value.number()) return run.fail("the filter 'round' takes a number");
  const double scale =
      std::pow(10.0, static_cast<double>(precision == nullptr ? 0 : precision->integer().value_or(0)));
  const double scaled = *value.number() * scale;
  if (method != nullptr && method->text() != nullptr && *method->text() == "ceil")
    return Value(std::ceil(scaled) / scale);
  if (method != nullptr && method->text() != nullptr && *method->text() == "floor")
    return Value(std::floor(scaled) / scale);
  return Value(std::nearbyint(scaled) / scale);
}

Value indent(Interpreter& run, const Value& value, const Args& arguments) {
  const Value* width = arguments.get(0, "width");
  BoundedText margin_text = run.text();
  const int64_t n_spaces = width == nullptr ? 4 : width->integer().value_or(0);
  for (int64_t i = 0; i < n_spaces && !margin_text.overflow(); ++i) margin_text.append(" ");
  const Value margin_value =
      width != nullptr && width->text() != nullptr ? *width : run.make(std::move(margin_text));
  if (run.failed()) return Value();
  const std::string& margin = *margin_value.text();
  const std::string text = run.str(value) + "\n";  // the lines are views of it
  const bool blank = flag(arguments, 2, "blank");
  BoundedText out = run.text();
  bool first_line = true;
  for (const std::string_view line : lines_of(text)) {
    if (!first_line) out.append("\n");
    if (first_line ? flag(arguments, 1, "first") : blank || !line.empty()) out.append(margin);
    out.append(line);
    first_line = false;
  }
  return run.make(std::move(out));
}

Value reverse(Interpreter& run, const Value& value, const Args&) {
  std::vector<Value> all = run.items_of(value);
  std::reverse(all.begin(), all.end());
  return value.text() != nullptr ? joined(run, all, "") : Value::list(std::move(all));
}

// What sort, unique, min and max look at: an attribute, and text without its case unless asked.
Value key_of(Interpreter& run, const Value& item, const Args& arguments, size_t case_index) {
  const Value* attribute = arguments.get(case_index + 1, "attribute");
  Value key = attribute == nullptr ? item : run.item(item, *attribute);
  if (key.text() == nullptr || flag(arguments, case_index, "case_sensitive")) return key;
  return bounded(run, lower(*key.text()));
}

struct Keyed {
  Value key;
  Value item;
};

std::vector<Keyed> sorted(Interpreter& run, const Value& value, const Args& arguments, size_t case_index,
                          bool reversed) {
  std::vector<Keyed> all;
  for (const Value& item : run.items_of(value))
    all.push_back({key_of(run, item, arguments, case_index), item});
  for (size_t i = 1; i < all.size(); ++i) {
    if (!compare(all[0].key, all[i].key)) run.fail("values of different types have no order");
  }
  size_t n_levels = 1;
  while ((size_t{1} << n_levels) < all.size()) ++n_levels;
  if (run.failed() || !run.spend(all.size() * n_levels)) return {};
  std::stable_sort(all.begin(), all.end(), [reversed](const Keyed& a, const Keyed& b) {
    const int order = compare(a.key, b.key).value_or(0);
    return reversed ? order > 0 : order < 0;
  });
  return all;
}

Value sort(Interpreter& run, const Value& value, const Args& arguments) {
  std::vector<Value> all;
  for (Keyed& keyed : sorted(run, value, arguments, 1, flag(arguments, 0, "reverse")))
    all.push_back(std::move(keyed.item));
  return Value::list(std::move(all));
}

Value extreme(Interpreter& run, const Value& value, const Args& arguments, bool largest) {
  const std::vector<Keyed> all = sorted(run, value, arguments, 0, largest);
  return all.empty() ? Value(Undefined{"item"}) : all.front().item;
}

Value unique(Interpreter& run, const Value& value, const Args& arguments) {
  std::vector<Value> keys;
  std::vector<Value> kept;
  for (const Value& item : run.items_of(value)) {
    Value key = key_of(run, item, arguments, 0);
    if (!run.spend(keys.size() + key.extent().weight)) return Value();
    if (std::any_of(keys.begin(), keys.end(), [&](const Value& other) { return equals(other, key); }))
      continue;
    keys.push_back(std::move(key));
    kept.push_back(item);
  }
  return Value::list(std::move(kept));
}

Value sum(Interpreter& run, const Value& value, const Args& arguments) {
  const Value* attribute = arguments.get(0, "attribute");
  const Value* start = arguments.get(1, "start");
  Value total = start == nullptr ? Value(int64_t{0}) : *start;
  for (const Value& item : run.items_of(value)) {
    total = arithmetic(run, "+", total, attribute == nullptr ? item : run.item(item, *attribute));
  }
  return total;
}

Value dictsort(Interpreter& run, const Value& value, const Args& arguments) {
  if (value.dict() == nullptr) return run.fail("the filter 'dictsort' takes a mapping");
  const Value* by = arguments.get(1, "by");
  Args by_key;
  by_key.named = {{"case_sensitive", Value(flag(arguments, 0, "case_sensitive"))},
                  {"attribute", Value(int64_t{by != nullptr && run.str(*by) == "value" ? 1 : 0})},
                  {"reverse", Value(flag(arguments, 2, "reverse"))}};
  return sort(run, call_method(run, value, "items", {}), by_key);
}

Value escape(Interpreter& run, const Value& value, const Args&) {
  BoundedText out = run.text();
  for (const char c : run.str(value)) {
    switch (c) {
      case '&':
        out.append("&amp;");
        break;
      case '<':
        out.append("&lt;");
        break;
      case '>':
        out.append("&gt;");
        break;
      case '"':
        out.append("&#34;");
        break;
      case '\'':
        out.append("&#39;");
        break;
      default:
        out.append({&c, 1});
    }
  }
  return run.make(std::move(out));
}

struct Entry {
  std::string_view name;
  Filter filter;
};

const std::array<Entry, 37> kFilters{{
    {"trim", trim},
    {"length", length},
    {"count", length},
    {"upper", [](Interpreter& run, const Value& v, const Args&) { return bounded(run, upper(run.str(v))); }},
    {"lower", [](Interpreter& run, const Value& v, const Args&) { return bounded(run, lower(run.str(v))); }},
    {"capitalize",
     [](Interpreter& run, const Value& v, const Args&) { return bounded(run, capitalized(run.str(v))); }},
    {"title",
     [](Interpreter& run, const Value& v, const Args&) { return bounded(run, titled(run.str(v), false)); }},
    {"string", [](Interpreter& run, const Value& v, const Args&) { return Value(run.str(v)); }},
    {"safe", [](Interpreter& run, const Value& v, const Args&) { return Value(run.str(v)); }},
    {"list", [](Interpreter& run, const Value& v, const Args&) { return Value::list(run.items_of(v)); }},
    {"join", join},
    {"tojson", tojson},
    {"default", fallback},
    {"d", fallback},
    {"replace", replace},
    {"items", items},
    {"first", first},
    {"last", last},
    {"map", map},
    {"select",
     [](Interpreter& run, const Value& v, const Args& a) { return choose(run, v, a, false, true); }},
    {"reject",
     [](Interpreter& run, const Value& v, const Args& a) { return choose(run, v, a, false, false); }},
    {"selectattr",
     [](Interpreter& run, const Value& v, const Args& a) { return choose(run, v, a, true, true); }},
    {"rejectattr",
     [](Interpreter& run, const Value& v, const Args& a) { return choose(run, v, a, true, false); }},
    {"int", to_integer},
    {"float", to_float},
    {"abs", absolute},
    {"round", round_number},
    {"indent", indent},
    {"reverse", reverse},
    {"sort", sort},
    {"min", [](Interpreter& run, const Value& v, const Args& a) { return extreme(run, v, a, false); }},
    {"max", [](Interpreter& run, const Value& v, const Args& a) { return extreme(run, v, a, true); }},
    {"unique", unique},
    {"sum", sum},
    {"dictsort", dictsort},
    {"escape", escape},
    {"e", escape},
}};

}  // namespace

Filter find_filter(std::string_view name) {
  const auto found = std::find_if(kFilters.begin(), kFilters.end(),
                                  [name](const Entry& entry) { return entry.name == name; });
  return found == kFilters.end() ? nullptr : found->filter;
}

}  // namespace lazyfill::jinja
