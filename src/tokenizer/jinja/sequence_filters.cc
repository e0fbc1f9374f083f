// x | NAME for lists, mappings and everything else that can be gone through.
#include <algorithm>
#include <array>

#include "tokenizer/jinja/filters.h"
#include "tokenizer/jinja/text_functions.h"
#include "tokenizer/utf8.h"

namespace lazyfill::jinja {
namespace {

using Args = Arguments;

// A path as filters take it, "a.b.0": items by name or number, one after the other.
Value item_at(Interpreter& run, Value item, const Value& path, const Value* otherwise = nullptr) {
  if (path.is_none()) return item;
  std::vector<Value> parts;
  if (path.text() != nullptr) {
    const std::string point = ".";
    const Value split_path = split(run, *path.text(), &point, -1, false);
    if (run.failed()) return Value();
    for (const Value& part : split_path.list()->items) {
      const std::string& name = *part.text();
      const bool number = !name.empty() && name.size() < 18 &&
                          std::all_of(name.begin(), name.end(), [](char c) { return c >= '0' && c <= '9'; });
      parts.push_back(number ? Value(int64_t{std::stoll(name)}) : part);
    }
  } else {
    parts.push_back(path);
  }
  for (const Value& part : parts) {
    item = run.item(item, part);
    if (otherwise != nullptr && item.is_undefined()) item = *otherwise;
  }
  return item;
}

Value length(Interpreter& run, const Value& value, const Args&) {
  if (value.text() != nullptr) return Value(static_cast<int64_t>(utf8::length(*value.text())));
  if (value.list() != nullptr && !value.list()->is_iterator())
    return Value(static_cast<int64_t>(value.list()->items.size()));
  if (value.dict() != nullptr) return Value(static_cast<int64_t>(value.dict()->items.size()));
  if (value.is_undefined()) return Value(int64_t{0});
  if (value.name_space() != nullptr && value.name_space()->is_loop) return run.attribute(value, "length");
  return run.fail("a value of type " + std::string(value.type_name()) + " has no length");
}

Value join(Interpreter& run, const Value& value, const Args& arguments) {
  std::vector<Value> items = run.items_of(value);
  const Value* separator = arguments.get(0, "d");
  if (const Value* attribute = arguments.get(1, "attribute")) {
    for (Value& item : items) item = item_at(run, item, *attribute);
  }
  return joined(run, items, separator == nullptr ? Text() : run.str(*separator));
}

Value items(Interpreter& run, const Value& value, const Args&) {
  if (value.is_undefined()) return Value::iterator({});
  if (value.dict() == nullptr) return run.fail("the filter 'items' takes a mapping");
  return Value::iterator(run.items_of(call_method(run, value, "items", {})));
}

Value first(Interpreter& run, const Value& value, const Args&) {
  if (value.is_kind(List::Kind::kIterator)) {
    const List& list = *value.list();
    return list.n_taken < list.items.size() ? list.items[list.n_taken++] : Value(Undefined{"first"});
  }
  const std::vector<Value> all = run.items_of(value);
  return all.empty() ? Value(Undefined{"first"}) : all.front();
}

Value last(Interpreter& run, const Value& value, const Args&) {
  if (value.is_kind(List::Kind::kIterator)) return run.fail("an iterator has no last item");
  const std::vector<Value> all = run.items_of(value);
  return all.empty() ? Value(Undefined{"last"}) : all.back();
}

// Arguments without the first `n`.
Args rest_of(const Args& arguments, size_t n) {
  Args rest;
  for (size_t i = n; i < arguments.positional.size(); ++i) rest.positional.push_back(arguments.positional[i]);
  rest.named = arguments.named;
  return rest;
}

// What is false is empty to map() and its like, whatever its type.
std::vector<Value> items_if_any(Interpreter& run, const Value& value) {
  return value.truthy() ? run.items_of(value) : std::vector<Value>();
}

Value map(Interpreter& run, const Value& value, const Args& arguments) {
  std::vector<Value> all = items_if_any(run, value);
  if (arguments.positional.empty() && arguments.get(0, "attribute") != nullptr) {
    for (const auto& argument : arguments.named) {
      if (argument.first != "attribute" && argument.first != "default")
        return run.fail("the filter 'map' has no argument " + quoted(argument.first));
    }
    const Value* otherwise = arguments.get(1, "default");
    if (otherwise != nullptr && otherwise->is_none()) otherwise = nullptr;
    for (Value& item : all) item = item_at(run, item, *arguments.get(0, "attribute"), otherwise);
    return Value::iterator(std::move(all));
  }
  if (arguments.positional.empty() || arguments.positional[0].text() == nullptr)
    return run.fail("the filter 'map' takes an attribute or the name of a filter");
  const Args rest = rest_of(arguments, 1);
  for (Value& item : all) item = run.filter(*arguments.positional[0].text(), item, rest);
  return Value::iterator(std::move(all));
}

// select, reject, selectattr and rejectattr.
Value choose(Interpreter& run, const Value& value, const Args& arguments, bool by_attribute, bool wanted) {
  const size_t n_skipped = by_attribute ? 1 : 0;
  if (by_attribute && arguments.positional.empty())
    return run.fail("'selectattr' and 'rejectattr' take an attribute");
  const Value* test = arguments.get(n_skipped, "");
  const Args rest = rest_of(arguments, n_skipped + 1);
  std::vector<Value> kept;
  for (const Value& item : items_if_any(run, value)) {
    if (!run.spend(1)) return Value();
    const Value subject = by_attribute ? item_at(run, item, arguments.positional[0]) : item;
    const bool holds = test == nullptr ? subject.truthy() : run.test(run.str(*test).bytes(), subject, rest);
    if (run.failed()) return Value();
    if (holds == wanted) kept.push_back(item);
  }
  return Value::iterator(std::move(kept));
}

Value reverse(Interpreter& run, const Value& value, const Args&) {
  if (value.is_kind(List::Kind::kIterator)) return run.fail("an iterator cannot be reversed");
  std::vector<Value> all = run.items_of(value);
  std::reverse(all.begin(), all.end());
  return value.text() != nullptr ? joined(run, all, "") : Value::iterator(std::move(all));
}

// Text without its case, unless asked.
Value folded(Interpreter& run, const Value& key, bool case_sensitive) {
  if (key.text() == nullptr || case_sensitive) return key;
  BoundedText out = run.text();
  out.append(lower(*key.text()));
  return run.make(std::move(out));
}

// What unique, min and max look at: an attribute, and text without its case unless asked.
Value key_of(Interpreter& run, const Value& item, const Args& arguments) {
  const Value* attribute = arguments.get(1, "attribute");
  const Value* case_sensitive = arguments.get(0, "case_sensitive");
  const Value key = attribute == nullptr ? item : item_at(run, item, *attribute);
  return folded(run, key, case_sensitive != nullptr && case_sensitive->truthy());
}

struct Keyed {
  Value key;
  Value item;
};

void sort_keyed(Interpreter& run, std::vector<Keyed>& all, bool reversed) {
  for (size_t i = 1; i < all.size(); ++i) {
    if (!compare(all[0].key, all[i].key)) run.fail("values of different types have no order");
  }
  size_t n_levels = 1;
  while ((size_t{1} << n_levels) < all.size()) ++n_levels;
  size_t weight = 0;
  for (const Keyed& keyed : all) weight += keyed.key.extent().weight;
  if (run.failed() || !run.spend(weight * n_levels)) return all.clear();
  std::stable_sort(all.begin(), all.end(), [reversed](const Keyed& a, const Keyed& b) {
    const int order = compare(a.key, b.key).value_or(0);
    if (order == kUnordered) return false;
    return reversed ? order > 0 : order < 0;
  });
}

// Several attributes with commas between them sort by the first, then by the second... Always a list, and
// lists compare only the first items that differ: values without an order are sorted where they are all the
// same.
Value sort_key(Interpreter& run, const Value& item, const Value* attribute, bool case_sensitive) {
  std::vector<Value> paths = {attribute == nullptr ? Value(None{}) : *attribute};
  if (attribute != nullptr && attribute->text() != nullptr) {
    const std::string comma = ",";
    const Value split_paths = split(run, *attribute->text(), &comma, -1, false);
    if (run.failed()) return Value();
    paths = split_paths.list()->items;
  }
  std::vector<Value> keys;
  for (const Value& path : paths) keys.push_back(folded(run, item_at(run, item, path), case_sensitive));
  return Value::list(std::move(keys));
}

Value sort(Interpreter& run, const Value& value, const Args& arguments) {
  const bool case_sensitive = flag(arguments, 1, "case_sensitive");
  std::vector<Keyed> all;
  for (const Value& item : run.items_of(value))
    all.push_back({sort_key(run, item, arguments.get(2, "attribute"), case_sensitive), item});
  sort_keyed(run, all, flag(arguments, 0, "reverse"));
  std::vector<Value> sorted;
  for (Keyed& keyed : all) sorted.push_back(std::move(keyed.item));
  return Value::list(std::move(sorted));
}

Value extreme(Interpreter& run, const Value& value, const Args& arguments, bool largest) {
  std::vector<Keyed> all;
  for (const Value& item : run.items_of(value)) all.push_back({key_of(run, item, arguments), item});
  sort_keyed(run, all, largest);
  return all.empty() ? Value(Undefined{"item"}) : all.front().item;
}

Value unique(Interpreter& run, const Value& value, const Args& arguments) {
  std::vector<Value> keys;
  std::vector<Value> kept;
  for (const Value& item : run.items_of(value)) {
    Value key = key_of(run, item, arguments);
    if (!is_hashable(key)) return run.fail("the filter 'unique' takes values that can be keys");
    if (!run.spend((keys.size() + 1) * key.extent().weight)) return Value();
    if (std::any_of(keys.begin(), keys.end(), [&](const Value& other) { return equals(other, key); }))
      continue;
    keys.push_back(std::move(key));
    kept.push_back(item);
  }
  return Value::iterator(std::move(kept));
}

Value group_by(Interpreter& run, const Value& value, const Args& arguments) {
  const bool case_sensitive = flag(arguments, 2, "case_sensitive");
  std::vector<Keyed> all;
  for (const Value& item : run.items_of(value)) {
    Value key = item_at(run, item, *arguments.get(0, "attribute"), arguments.get(1, "default"));
    all.push_back({folded(run, key, case_sensitive), Value::list({std::move(key), item})});
  }
  sort_keyed(run, all, false);
  std::vector<Value> groups;
  for (size_t begin = 0; begin < all.size();) {
    std::vector<Value> members;
    size_t end = begin;
    for (; end < all.size() && equals(all[end].key, all[begin].key); ++end)
      members.push_back(all[end].item.list()->items[1]);
    Value name = case_sensitive ? all[begin].key : all[begin].item.list()->items[0];
    groups.push_back(Value::tuple({std::move(name), Value::list(std::move(members))}));
    begin = end;
  }
  return Value::list(std::move(groups));
}

Value sum(Interpreter& run, const Value& value, const Args& arguments) {
  const Value* attribute = arguments.get(0, "attribute");
  const Value* start = arguments.get(1, "start");
  Value total = start == nullptr ? Value(int64_t{0}) : *start;
  if (total.text() != nullptr) return run.fail("texts cannot be summed up; join them");
  for (const Value& item : run.items_of(value)) {
    total = run.binary("+", total, attribute == nullptr ? item : item_at(run, item, *attribute));
  }
  return total;
}

Value dictsort(Interpreter& run, const Value& value, const Args& arguments) {
  if (value.dict() == nullptr) return run.fail("the filter 'dictsort' takes a mapping");
  const Value* by = arguments.get(1, "by");
  const std::string place = by == nullptr ? "key" : run.str(*by).bytes();
  if (place != "key" && place != "value") return run.fail("'dictsort' sorts by \"key\" or by \"value\"");
  Args by_key;
  by_key.named = {{"case_sensitive", Value(flag(arguments, 0, "case_sensitive"))},
                  {"attribute", Value(int64_t{place == "value" ? 1 : 0})},
                  {"reverse", Value(flag(arguments, 2, "reverse"))}};
  return sort(run, call_method(run, value, "items", {}), by_key);
}

Value batch(Interpreter& run, const Value& value, const Args& arguments) {
  const auto n = arguments.get(0, "linecount")->integer();
  const Value* fill = arguments.get(1, "fill_with");
  std::vector<Value> rows;
  std::vector<Value> row;
  for (const Value& item : run.items_of(value)) {
    if (n && static_cast<int64_t>(row.size()) == *n) rows.push_back(Value::list(std::exchange(row, {})));
    row.push_back(item);
  }
  if (!row.empty() && fill != nullptr && !fill->is_none()) {
    while (n && static_cast<int64_t>(row.size()) < *n && run.spend(1)) row.push_back(*fill);
  }
  if (!row.empty()) rows.push_back(Value::list(std::move(row)));
  return Value::iterator(std::move(rows));
}

Value slices(Interpreter& run, const Value& value, const Args& arguments) {
  const auto n = arguments.get(0, "slices")->integer();
  const Value* fill = arguments.get(1, "fill_with");
  const std::vector<Value> all = run.items_of(value);
  if (!n || *n == 0) return run.fail("the filter 'slice' takes a number of slices");
  std::vector<Value> parts;
  const auto length = static_cast<int64_t>(all.size());
  int64_t begin = 0;
  for (int64_t i = 0; i < *n && run.spend(4); ++i) {
    const bool longer = i < length % *n;
    const int64_t end = begin + length / *n + (longer ? 1 : 0);
    std::vector<Value> part(all.begin() + begin, all.begin() + end);
    if (fill != nullptr && !fill->is_none() && !longer) part.push_back(*fill);
    parts.push_back(Value::list(std::move(part)));
    begin = end;
  }
  return Value::iterator(std::move(parts));
}

Value to_list(Interpreter& run, const Value& value, const Args&) {
  return Value::list(run.items_of(value));
}

const std::array<FilterEntry, 22> kFilters{{
    {"length", "", 0, length},
    {"count", "", 0, length},
    {"join", "d attribute", 0, join},
    {"items", "", 0, items},
    {"first", "", 0, first},
    {"last", "", 0, last},
    {"list", "", 0, to_list},
    {"map", "*", 0, map},
    {"select", "*", 0,
     [](Interpreter& run, const Value& v, const Args& a) { return choose(run, v, a, false, true); }},
    {"reject", "*", 0,
     [](Interpreter& run, const Value& v, const Args& a) { return choose(run, v, a, false, false); }},
    {"selectattr", "*", 0,
     [](Interpreter& run, const Value& v, const Args& a) { return choose(run, v, a, true, true); }},
    {"rejectattr", "*", 0,
     [](Interpreter& run, const Value& v, const Args& a) { return choose(run, v, a, true, false); }},
    {"reverse", "", 0, reverse},
    {"sort", "reverse case_sensitive attribute", 0, sort},
    {"min", "case_sensitive attribute", 0,
     [](Interpreter& run, const Value& v, const Args& a) { return extreme(run, v, a, false); }},
    {"max", "case_sensitive attribute", 0,
     [](Interpreter& run, const Value& v, const Args& a) { return extreme(run, v, a, true); }},
    {"unique", "case_sensitive attribute", 0, unique},
    {"groupby", "attribute default case_sensitive", 1, group_by},
    {"sum", "attribute start", 0, sum},
    {"dictsort", "case_sensitive by reverse", 0, dictsort},
    {"batch", "linecount fill_with", 1, batch},
    {"slice", "slices fill_with", 1, slices},
}};

}  // namespace

const FilterEntry* find_sequence_filter(std::string_view name) {
  const auto found = std::find_if(kFilters.begin(), kFilters.end(),
                                  [name](const FilterEntry& entry) { return entry.name == name; });
  return found == kFilters.end() ? find_layout_filter(name) : &*found;
}

}  // namespace lazyfill::jinja
