// x.NAME(...): methods of Python's strings, lists and dictionaries that change nothing.
#include <algorithm>
#include <array>

#include "tokenizer/jinja/filters.h"
#include "tokenizer/jinja/formatting.h"
#include "tokenizer/jinja/text_functions.h"
#include "tokenizer/utf8.h"

namespace lazyfill::jinja {
namespace {

struct MethodEntry {
  std::string_view name;
  std::string_view parameters;  // as for filters
  size_t n_required = 0;
};

// Parameters that begin with "/" cannot be given by name.
constexpr std::array<MethodEntry, 41> kTextMethods{{
    {"strip", "/chars", 0},
    {"lstrip", "/chars", 0},
    {"rstrip", "/chars", 0},
    {"split", "sep maxsplit", 0},
    {"rsplit", "sep maxsplit", 0},
    {"splitlines", "keepends", 0},
    {"partition", "/sep", 1},
    {"rpartition", "/sep", 1},
    {"startswith", "/prefix /start /end", 1},
    {"endswith", "/suffix /start /end", 1},
    {"find", "/sub /start /end", 1},
    {"rfind", "/sub /start /end", 1},
    {"index", "/sub /start /end", 1},
    {"rindex", "/sub /start /end", 1},
    {"count", "/sub /start /end", 1},
    {"upper", "", 0},
    {"lower", "", 0},
    {"casefold", "", 0},
    {"swapcase", "", 0},
    {"title", "", 0},
    {"capitalize", "", 0},
    {"replace", "/old /new /count", 2},
    {"join", "/iterable", 1},
    {"format", "*", 0},
    {"format_map", "/mapping", 1},
    {"removeprefix", "/prefix", 1},
    {"removesuffix", "/suffix", 1},
    {"zfill", "/width", 1},
    {"ljust", "/width /fillchar", 1},
    {"rjust", "/width /fillchar", 1},
    {"center", "/width /fillchar", 1},
    {"isdigit", "", 0},
    {"isnumeric", "", 0},
    {"isdecimal", "", 0},
    {"isalpha", "", 0},
    {"isalnum", "", 0},
    {"isascii", "", 0},
    {"isspace", "", 0},
    {"isupper", "", 0},
    {"islower", "", 0},
    {"istitle", "", 0},
}};
constexpr std::array<MethodEntry, 5> kDictMethods{
    {{"items", "", 0}, {"keys", "", 0}, {"values", "", 0}, {"get", "/key /default", 1}, {"copy", "", 0}}};
constexpr std::array<MethodEntry, 3> kListMethods{
    {{"count", "/value", 1}, {"index", "/value /start /stop", 1}, {"copy", "", 0}}};

template <class Entries>
const MethodEntry* find_in(const Entries& entries, std::string_view name) {
  const auto found =
      std::find_if(entries.begin(), entries.end(), [name](const auto& entry) { return entry.name == name; });
  return found == entries.end() || name.empty() ? nullptr : &*found;
}

const MethodEntry* find_method(const Value& object, std::string_view name) {
  if (object.text() != nullptr) return find_in(kTextMethods, name);
  if (object.dict() != nullptr) return find_in(kDictMethods, name);
  if (object.sequence() == nullptr || (name == "copy" && !object.is_kind(List::Kind::kList))) return nullptr;
  return find_in(kListMethods, name);
}

Value bounded(Interpreter& run, const TextView& text) {
  BoundedText out = run.text();
  out.append(text);
  return run.make(std::move(out));
}

// Fails the run where the argument is neither absent nor a text, or, with `none_is_absent`, none.
const std::string* text_at(Interpreter& run, const Arguments& arguments, size_t index, std::string_view name,
                           bool none_is_absent = false) {
  const Value* value = arguments.get(index, name);
  if (value == nullptr || (none_is_absent && value->is_none())) return nullptr;
  if (value->text() == nullptr) run.fail("a method of a string takes a string");
  return value->text();
}

int64_t integer_at(Interpreter& run, const Arguments& arguments, size_t index, std::string_view name,
                   int64_t fallback) {
  const Value* value = arguments.get(index, name);
  if (value == nullptr) return fallback;
  if (!value->integer()) run.fail("a method of a string takes a whole number");
  return value->integer().value_or(fallback);
}

// The part of a text that start and end of find() and its like leave, and how many characters stand before
// it.
struct Part {
  std::string_view text;
  int64_t n_before = 0;
  bool is_valid = true;  // start may lie behind the end: nothing is found there, not even the empty text
};

Part part_of(Interpreter& run, const std::string& text, const Arguments& arguments) {
  const Value none{None{}};
  const Value* start_value = arguments.get(1, "/start");
  const Value* end_value = arguments.get(2, "/end");
  if ((start_value == nullptr || start_value->is_none()) && (end_value == nullptr || end_value->is_none()))
    return {text};
  const auto n = static_cast<int64_t>(utf8::length(text));
  const auto bound = [&](const Value* value, int64_t fallback) {
    if (value == nullptr || value->is_none()) return fallback;
    if (!value->integer()) run.fail("a method of a string takes a whole number");
    const int64_t at = value->integer().value_or(0);
    return at < 0 ? std::max<int64_t>(0, at + n) : at;
  };
  const int64_t start = bound(start_value, 0);
  const int64_t end = std::min(n, bound(end_value, n));
  if (start > end) return {{}, start, false};
  const size_t begin = first_characters(text, static_cast<size_t>(start)).size();
  return {first_characters(std::string_view(text).substr(begin), static_cast<size_t>(end - start)).bytes(),
          start};
}

bool affix(Interpreter& run, const std::string& text, const Arguments& arguments, bool at_end) {
  const Part part = part_of(run, text, arguments);
  const Value& candidates = arguments.positional[0];
  std::vector<Value> options = {candidates};
  if (candidates.is_kind(List::Kind::kTuple)) options = candidates.list()->items;
  return std::any_of(options.begin(), options.end(), [&](const Value& option) {
    if (option.text() == nullptr) run.fail("startswith() and endswith() take a string");
    if (option.text() == nullptr || !part.is_valid) return false;
    return at_end ? part.text.ends_with(*option.text()) : part.text.starts_with(*option.text());
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

Value text_question(const std::string& text, std::string_view name) {
  if (name == "isdecimal") return Value(every_character(text, is_decimal));
  if (name == "isdigit") return Value(every_character(text, is_digit));
  if (name == "isnumeric") return Value(every_character(text, utf8::is_number));
  if (name == "isalpha") return Value(every_character(text, utf8::is_letter));
  if (name == "isspace") return Value(every_character(text, is_python_space));
  if (name == "isascii")
    return Value(
        std::all_of(text.begin(), text.end(), [](char c) { return static_cast<signed char>(c) >= 0; }));
  if (name == "isupper") return Value(has_case(text, true));
  if (name == "islower") return Value(has_case(text, false));
  if (name == "istitle") return Value(is_titled(text));
  return Value(every_character(text, [](char32_t c) { return utf8::is_letter(c) || utf8::is_number(c); }));
}

// Places are counted in characters.
Value text_search(Interpreter& run, const std::string& text, std::string_view name,
                  const Arguments& arguments) {
  const std::string* wanted = text_at(run, arguments, 0, "/sub");
  const Part part = part_of(run, text, arguments);
  if (run.failed() || !run.spend_search(text.size(), wanted->size())) return Value();
  if (name == "count") {
    int64_t n = 0;
    if (!part.is_valid) return Value(n);
    if (wanted->empty()) return Value(static_cast<int64_t>(utf8::length(part.text)) + 1);
    for (size_t at = part.text.find(*wanted); at != std::string::npos;
         at = part.text.find(*wanted, at + wanted->size()))
      ++n;
    return Value(n);
  }
  const bool from_right = name == "rfind" || name == "rindex";
  size_t at = from_right ? part.text.rfind(*wanted) : part.text.find(*wanted);
  if (!part.is_valid) at = std::string::npos;
  if (at != std::string::npos)
    return Value(part.n_before + static_cast<int64_t>(utf8::length(part.text.substr(0, at))));
  if (name == "index" || name == "rindex") return run.fail("index() did not find the text");
  return Value(int64_t{-1});
}

Value text_partition(Interpreter& run, const TextView& text, bool from_right, const Arguments& arguments) {
  const std::string* separator = text_at(run, arguments, 0, "/sep");
  if (!run.failed() && separator->empty()) run.fail("a text cannot be split by nothing");
  if (run.failed() || !run.spend_search(text.size(), separator->size())) return Value();
  const size_t at = from_right ? text.bytes().rfind(*separator) : text.bytes().find(*separator);
  if (at == std::string_view::npos) {
    const Value whole = bounded(run, text);
    return from_right ? Value::tuple({Value(""), Value(""), whole})
                      : Value::tuple({whole, Value(""), Value("")});
  }
  return Value::tuple({bounded(run, text.substr(0, at)), bounded(run, text.substr(at, separator->size())),
                       bounded(run, text.substr(at + separator->size()))});
}

Value text_lines(Interpreter& run, const TextView& text, const Arguments& arguments) {
  const Value* keep_ends = arguments.get(0, "keepends");
  std::vector<Value> lines;
  for (const TextView& line : lines_of(text, keep_ends != nullptr && keep_ends->truthy())) {
    if (!run.spend(8)) return Value();
    lines.emplace_back(line);
  }
  return Value::list(std::move(lines));
}

Value text_zfill(Interpreter& run, const TextView& text, int64_t width) {
  BoundedText out = run.text();
  const bool has_sign = text.bytes().starts_with('-') || text.bytes().starts_with('+');
  if (has_sign) out.append(text.substr(0, 1));
  const auto length = static_cast<int64_t>(utf8::length(text.bytes()));
  if (width > length) out.append_times("0", width - length);
  out.append(text.substr(has_sign ? 1 : 0));
  return run.make(std::move(out));
}

Value text_padded(Interpreter& run, const TextView& text, std::string_view name, const Arguments& arguments) {
  const int64_t width = integer_at(run, arguments, 0, "/width", 0);
  const std::string* fill = text_at(run, arguments, 1, "/fillchar");
  if (fill != nullptr && utf8::length(*fill) != 1) run.fail("a text is filled with one character");
  if (run.failed()) return Value();
  const Side side = name == "ljust" ? Side::kRight : name == "rjust" ? Side::kLeft : Side::kBoth;
  const TextView with =
      fill == nullptr ? TextView(" ") : TextView(*arguments.get(1, "/fillchar")->marked_text());
  return padded(run, text, width, with, side);
}

Value text_join(Interpreter& run, const TextView& separator, const Arguments& arguments) {
  const std::vector<Value> items = run.items_of(arguments.positional[0]);
  if (arguments.positional[0].is_undefined()) return bounded(run, "");
  if (std::any_of(items.begin(), items.end(), [](const Value& item) { return item.text() == nullptr; }))
    return run.fail("join() takes strings");
  return joined(run, items, separator);
}

Value text_without(Interpreter& run, const TextView& text, bool at_end, const Arguments& arguments) {
  const std::string* part = text_at(run, arguments, 0, "/prefix");
  if (run.failed()) return Value();
  if (!(at_end ? text.bytes().ends_with(*part) : text.bytes().starts_with(*part))) return bounded(run, text);
  return bounded(run, text.substr(at_end ? 0 : part->size(), text.size() - part->size()));
}

Value text_replace(Interpreter& run, const TextView& text, const Arguments& arguments) {
  const std::string* from = text_at(run, arguments, 0, "/old");
  text_at(run, arguments, 1, "/new");
  const int64_t count = integer_at(run, arguments, 2, "/count", -1);
  if (run.failed()) return Value();
  return replaced(run, text, *from, *arguments.get(1, "/new")->marked_text(), count);
}

Value text_split(Interpreter& run, const TextView& text, bool from_right, const Arguments& arguments) {
  const std::string* separator = text_at(run, arguments, 0, "sep", true);
  const int64_t count = integer_at(run, arguments, 1, "maxsplit", -1);
  return run.failed() ? Value() : split(run, text, separator, count, from_right);
}

Value text_format_map(Interpreter& run, const TextView& text, const Arguments& arguments) {
  const Dict* dict = arguments.positional[0].dict();
  if (dict == nullptr) return run.fail("format_map() takes a mapping");
  Arguments named;
  for (const auto& [key, value] : dict->items) {
    if (key.text() != nullptr) named.named.emplace_back(*key.text(), value);
  }
  return run.spend(dict->items.size()) ? format_braces(run, text, named) : Value();
}

Value text_method(Interpreter& run, const Text& marked, std::string_view name, const Arguments& arguments) {
  const std::string& text = marked.bytes();
  const TextView view(marked);
  if (name == "strip" || name == "lstrip" || name == "rstrip") {
    const Side side = name == "strip" ? Side::kBoth : name == "lstrip" ? Side::kLeft : Side::kRight;
    const std::string* set = text_at(run, arguments, 0, "/chars", true);
    if (set != nullptr && !run.spend_search(text.size(), set->size())) return Value();
    return bounded(run, stripped(view, side, set));
  }
  if (name == "split" || name == "rsplit") return text_split(run, view, name == "rsplit", arguments);
  if (name == "partition" || name == "rpartition")
    return text_partition(run, view, name == "rpartition", arguments);
  if (name == "upper") return bounded(run, upper(view));
  if (name == "lower" || name == "casefold") return bounded(run, lower(view));
  if (name == "swapcase") return bounded(run, swapped_case(view));
  if (name == "title") return bounded(run, titled(view, true));
  if (name == "capitalize") return bounded(run, capitalized(view));
  if (name == "replace") return text_replace(run, view, arguments);
  if (name == "splitlines") return text_lines(run, view, arguments);
  if (name == "zfill") return text_zfill(run, view, integer_at(run, arguments, 0, "/width", 0));
  if (name == "ljust" || name == "rjust" || name == "center") return text_padded(run, view, name, arguments);
  if (name == "find" || name == "rfind" || name == "index" || name == "rindex" || name == "count")
    return text_search(run, text, name, arguments);
  if (name == "startswith") return Value(affix(run, text, arguments, false));
  if (name == "endswith") return Value(affix(run, text, arguments, true));
  if (name == "join") return text_join(run, view, arguments);
  if (name == "format") return format_braces(run, view, arguments);
  if (name == "format_map") return text_format_map(run, view, arguments);
  if (name == "removeprefix" || name == "removesuffix")
    return text_without(run, view, name == "removesuffix", arguments);
  return text_question(text, name);
}

Value dict_method(Interpreter& run, const Value& object, std::string_view name, const Arguments& arguments) {
  const Dict& dict = *object.dict();
  if (name == "copy") return object;
  if (name == "get") {
    if (!is_hashable(arguments.positional[0])) return run.fail("get() takes a key");
    if (const Value* found = dict.find(arguments.positional[0])) return *found;
    return arguments.positional.size() > 1 ? arguments.positional[1] : Value(None{});
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
  using Kind = List::Kind;
  return Value::make(name == "items"  ? Kind::kItems
                     : name == "keys" ? Kind::kKeys
                                      : Kind::kValues,
                     std::move(items));
}

Value list_method(Interpreter& run, const Value& object, std::string_view name, const Arguments& arguments) {
  const std::vector<Value>& items = object.list()->items;
  if (name == "copy") return object;
  if (arguments.positional.size() > 1) return run.fail("index() between two places is not supported");
  const auto is_wanted = [&](const Value& item) { return equals(item, arguments.positional[0]); };
  if (name == "count")
    return Value(static_cast<int64_t>(std::count_if(items.begin(), items.end(), is_wanted)));
  const auto found = std::find_if(items.begin(), items.end(), is_wanted);
  if (found == items.end()) return run.fail("index() did not find the value");
  return Value(static_cast<int64_t>(found - items.begin()));
}

// A joiner's call, and next() and reset() of a cycler.
Value helper_method(Interpreter& run, Namespace& helper, std::string_view name, const Arguments& arguments) {
  if (!arguments.positional.empty() || !arguments.named.empty())
    return run.fail("joiners and cyclers are called without arguments");
  Dict& state = helper.attributes;
  if (name == "joiner") {
    const bool used = state.find("used")->truthy();
    state.set(Value("used"), Value(true));
    return used ? *state.find("sep") : Value("");
  }
  const std::vector<Value>& items = state.find("items")->list()->items;
  const Value current = *state.find("current");
  const int64_t next = name == "reset" ? 0 : *state.find("pos")->integer() + 1;
  const int64_t place = next % static_cast<int64_t>(items.size());
  state.set(Value("pos"), Value(place));
  state.set(Value("current"), items[static_cast<size_t>(place)]);
  return name == "reset" ? Value(None{}) : current;
}

// loop.cycle(...): the object is the number of the iteration. loop.changed(...): it is the loop.
Value loop_method(Interpreter& run, const Value& object, std::string_view name, const Arguments& arguments) {
  if (object.name_space() != nullptr && object.name_space()->is_fixed)
    return helper_method(run, *object.name_space(), name, arguments);
  if (!arguments.named.empty()) return run.fail("cycle() and changed() take no names");
  if (Namespace* loop = object.name_space()) {
    std::vector<Value> values = {Value::tuple(arguments.positional)};
    const bool same = !loop->last_values.empty() && equals(loop->last_values.front(), values.front());
    loop->last_values = std::move(values);
    return Value(!same);
  }
  if (arguments.positional.empty()) return run.fail("cycle() takes at least one value");
  return arguments.positional[static_cast<size_t>(*object.integer()) % arguments.positional.size()];
}

// Methods of markup give markup.
Value remarked(const Value& value) {
  if (value.text() != nullptr) return Value::markup(*value.marked_text());
  if (value.list() == nullptr) return value;
  std::vector<Value> items;
  for (const Value& item : value.list()->items) items.push_back(remarked(item));
  return Value::make(value.list()->kind, std::move(items));
}

}  // namespace

bool has_method(const Value& object, std::string_view name) {
  return find_method(object, name) != nullptr;
}

Value call_method(Interpreter& run, const Value& object, std::string_view name, const Arguments& arguments) {
  const MethodEntry* method = find_method(object, name);
  if (method == nullptr) return loop_method(run, object, name, arguments);
  if (!check_arguments(run, std::string(name), method->parameters, method->n_required, arguments))
    return Value();
  if (object.dict() != nullptr) return dict_method(run, object, name, arguments);
  if (object.list() != nullptr) return list_method(run, object, name, arguments);
  if (!object.is_markup()) return text_method(run, *object.marked_text(), name, arguments);
  Arguments escaped_arguments = arguments;
  if (name == "replace" || name == "join" || name == "format") {
    for (Value& value : escaped_arguments.positional) {
      if (value.text() != nullptr && !value.is_markup()) value = escaped(run, *value.marked_text());
      if (value.list() == nullptr) continue;
      std::vector<Value> items = run.items_of(value);
      for (Value& item : items) {
        if (item.text() != nullptr && !item.is_markup()) item = escaped(run, *item.marked_text());
      }
      value = Value::list(std::move(items));
    }
  }
  return run.failed() ? Value() : remarked(text_method(run, *object.marked_text(), name, escaped_arguments));
}

}  // namespace lazyfill::jinja
