// x.NAME(...): methods of Python's strings, lists and dictionaries that change nothing.
#include <algorithm>
#include <array>

#include "tokenizer/jinja/text_functions.h"
#include "tokenizer/utf8.h"

namespace lazyfill::jinja {
namespace {

constexpr std::array<std::string_view, 28> kTextMethods{
    "strip",    "lstrip",  "rstrip",       "split",        "rsplit",     "splitlines", "startswith",
    "endswith", "upper",   "lower",        "title",        "capitalize", "replace",    "join",
    "find",     "rfind",   "count",        "isdigit",      "isalpha",    "isalnum",    "isspace",
    "isupper",  "islower", "removeprefix", "removesuffix", "isnumeric",  "isdecimal",  "zfill"};
constexpr std::array<std::string_view, 4> kDictMethods{"items", "keys", "values", "get"};
constexpr std::array<std::string_view, 2> kListMethods{"count", "index"};

template <class Names>
bool is_in(const Names& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

const std::string* text_at(const Arguments& arguments, size_t index, std::string_view name) {
  const Value* value = arguments.get(index, name);
  return value == nullptr ? nullptr : value->text();
}

int64_t integer_at(const Arguments& arguments, size_t index, std::string_view name, int64_t fallback) {
  const Value* value = arguments.get(index, name);
  return value == nullptr ? fallback : value->integer().value_or(fallback);
}

bool affix(Interpreter& run, const std::string& text, const Value* candidates, bool at_end) {
  std::vector<Value> options;
  if (candidates != nullptr && candidates->list() != nullptr) options = candidates->list()->items;
  if (candidates != nullptr && candidates->text() != nullptr) options.push_back(*candidates);
  if (options.empty()) run.fail("startswith() and endswith() take a string");
  return std::any_of(options.begin(), options.end(), [&](const Value& option) {
    if (option.text() == nullptr) return false;
    return at_end ? text.ends_with(*option.text()) : text.starts_with(*option.text());
  });
}

template <class Accept>
bool every_character(const std::string& text, Accept accept) {
  for (size_t position = 0; position < text.size();) {
    const utf8::Decoded c = utf8::decode(text, position);
    if (c.n_bytes == 0 || !accept(c.code_point)) return false;
    position += c.n_bytes;
  }
  return !text.empty();
}

Value text_question(Interpreter& run, const std::string& text, std::string_view name,
                    const Arguments& arguments) {
  if (name == "startswith") return Value(affix(run, text, arguments.get(0, "prefix"), false));
  if (name == "endswith") return Value(affix(run, text, arguments.get(0, "suffix"), true));
  if (name == "isdigit" || name == "isnumeric" || name == "isdecimal")
    return Value(every_character(text, utf8::is_number));
  if (name == "isalpha") return Value(every_character(text, utf8::is_letter));
  if (name == "isspace") return Value(every_character(text, utf8::is_space));
  if (name == "isupper") return Value(upper(text) == text && lower(text) != text);
  if (name == "islower") return Value(lower(text) == text && upper(text) != text);
  return Value(every_character(text, [](char32_t c) { return utf8::is_letter(c) || utf8::is_number(c); }));
}

// Places are counted in characters.
Value text_search(Interpreter& run, const std::string& text, std::string_view name,
                  const Arguments& arguments) {
  const std::string* wanted = text_at(arguments, 0, "sub");
  if (wanted == nullptr) return run.fail(std::string(name) + "() takes a string");
  if (name == "count") {
    int64_t n = 0;
    if (wanted->empty()) return Value(static_cast<int64_t>(utf8::length(text)) + 1);
    for (size_t at = text.find(*wanted); at != std::string::npos;
         at = text.find(*wanted, at + wanted->size()))
      ++n;
    return Value(n);
  }
  const size_t at = name == "find" ? text.find(*wanted) : text.rfind(*wanted);
  return Value(at == std::string::npos
                   ? int64_t{-1}
                   : static_cast<int64_t>(utf8::length(std::string_view(text).substr(0, at))));
}

Value bounded(Interpreter& run, std::string_view text) {
  BoundedText out = run.text();
  out.append(text);
  return run.make(std::move(out));
}

Value text_strip(Interpreter& run, std::string_view text, std::string_view name, const Arguments& arguments) {
  const Side side = name == "strip" ? Side::kBoth : name == "lstrip" ? Side::kLeft : Side::kRight;
  return bounded(run, stripped(text, side, text_at(arguments, 0, "chars")));
}

Value text_replace(Interpreter& run, const std::string& text, const Arguments& arguments) {
  const std::string* from = text_at(arguments, 0, "old");
  const std::string* to = text_at(arguments, 1, "new");
  if (from == nullptr || to == nullptr) return run.fail("replace() takes two strings");
  return replaced(run, text, *from, *to, integer_at(arguments, 2, "count", -1));
}

Value text_lines(Interpreter& run, const std::string& text) {
  std::vector<Value> lines;
  for (const std::string_view line : lines_of(text)) {
    if (!run.spend(8)) return Value();
    lines.emplace_back(std::string(line));
  }
  return Value::list(std::move(lines));
}

Value text_zfill(Interpreter& run, const std::string& text, int64_t width) {
  BoundedText out = run.text();
  const bool has_sign = !text.empty() && (text[0] == '-' || text[0] == '+');
  if (has_sign) out.append(text.substr(0, 1));
  for (auto n = static_cast<int64_t>(utf8::length(text)); n < width && !out.overflow(); ++n) out.append("0");
  out.append(std::string_view(text).substr(has_sign ? 1 : 0));
  return run.make(std::move(out));
}

Value text_method(Interpreter& run, const std::string& text, std::string_view name,
                  const Arguments& arguments) {
  if (name == "strip" || name == "lstrip" || name == "rstrip") return text_strip(run, text, name, arguments);
  if (name == "split" || name == "rsplit") {
    return split(run, text, text_at(arguments, 0, "sep"), integer_at(arguments, 1, "maxsplit", -1),
                 name == "rsplit");
  }
  if (name == "upper") return bounded(run, upper(text));
  if (name == "lower") return bounded(run, lower(text));
  if (name == "title") return bounded(run, titled(text, true));
  if (name == "capitalize") return bounded(run, capitalized(text));
  if (name == "replace") return text_replace(run, text, arguments);
  if (name == "splitlines") return text_lines(run, text);
  if (name == "zfill") return text_zfill(run, text, integer_at(arguments, 0, "width", 0));
  if (name == "find" || name == "rfind" || name == "count") return text_search(run, text, name, arguments);
  if (name == "join") {
    const Value* items = arguments.get(0, "iterable");
    if (items == nullptr) return run.fail("join() takes a list");
    return joined(run, run.items_of(*items), text);
  }
  if (name == "removeprefix" || name == "removesuffix") {
    const bool at_end = name == "removesuffix";
    const std::string* part = text_at(arguments, 0, "prefix");
    if (part == nullptr) return run.fail(std::string(name) + "() takes a string");
    if (!(at_end ? text.ends_with(*part) : text.starts_with(*part))) return bounded(run, text);
    return bounded(run, std::string_view(text).substr(at_end ? 0 : part->size(), text.size() - part->size()));
  }
  return text_question(run, text, name, arguments);
}

Value dict_method(Interpreter& run, const Dict& dict, std::string_view name, const Arguments& arguments) {
  if (name == "get") {
    const Value* key = arguments.get(0, "key");
    if (key == nullptr) return run.fail("get() takes a key");
    if (const Value* found = dict.find(*key)) return *found;
    const Value* fallback = arguments.get(1, "default");
    return fallback != nullptr ? *fallback : Value(None{});
  }
  std::vector<Value> items;
  for (const auto& item : dict.items) {
    if (!run.spend(8)) return Value();
    if (name == "items") {
      items.push_back(Value::tuple({item.first, item.second}));
    } else {
      items.push_back(name == "keys" ? item.first : item.second);
    }
  }
  return Value::list(std::move(items));
}

Value list_method(Interpreter& run, const List& list, std::string_view name, const Arguments& arguments) {
  const Value* wanted = arguments.get(0, "value");
  if (wanted == nullptr) return run.fail(std::string(name) + "() takes a value");
  const auto is_wanted = [&](const Value& item) { return equals(item, *wanted); };
  if (name == "count") {
    return Value(static_cast<int64_t>(std::count_if(list.items.begin(), list.items.end(), is_wanted)));
  }
  const auto found = std::find_if(list.items.begin(), list.items.end(), is_wanted);
  if (found == list.items.end()) return run.fail("index() did not find the value");
  return Value(static_cast<int64_t>(found - list.items.begin()));
}

}  // namespace

bool has_method(const Value& object, std::string_view name) {
  if (object.text() != nullptr) return is_in(kTextMethods, name);
  if (object.dict() != nullptr) return is_in(kDictMethods, name);
  return object.list() != nullptr && is_in(kListMethods, name);
}

Value call_method(Interpreter& run, const Value& object, std::string_view name, const Arguments& arguments) {
  if (object.text() != nullptr) return text_method(run, *object.text(), name, arguments);
  if (object.dict() != nullptr) return dict_method(run, *object.dict(), name, arguments);
  if (object.list() != nullptr) return list_method(run, *object.list(), name, arguments);
  // loop.cycle(...): the object is the number of the iteration.
  if (arguments.positional.empty()) return run.fail("cycle() takes at least one value");
  return arguments.positional[static_cast<size_t>(*object.integer()) % arguments.positional.size()];
}

}  // namespace lazyfill::jinja
