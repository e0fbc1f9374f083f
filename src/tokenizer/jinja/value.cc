#include "tokenizer/jinja/value.h"

#include <utf8proc.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>

#include "tokenizer/utf8.h"

namespace lazyfill::jinja {
namespace {

constexpr int kMaxDepth = 64;  // of values inside values; deeper ones print as "..."

void add_extent(Extent& extent, const Extent& part) {
  constexpr size_t kEnough = size_t{1} << 40;  // far above every limit, far below overflow
  extent.weight = std::min(kEnough, extent.weight + part.weight);
  extent.depth = std::max(extent.depth, part.depth + 1);
}

bool is_printable(char32_t c) {
  if (c < 0x7F) return c >= ' ';
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(c))) {
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
    case UTF8PROC_CATEGORY_ZS:
      return false;
    default:
      return true;
  }
}

void append_hex(char32_t c, BoundedText& out) {
  char buffer[12];
  const char* format = c < 0x100 ? "\\x%02x" : c < 0x10000 ? "\\u%04x" : "\\U%08x";
  const int n = std::snprintf(buffer, sizeof(buffer), format, static_cast<unsigned>(c));
  out.append(std::string_view(buffer, static_cast<size_t>(n)));
}

void append_text_repr(const TextView& marked, BoundedText& out) {
  const std::string_view text = marked.bytes();
  const bool single = text.find('\'') == std::string_view::npos || text.find('"') != std::string_view::npos;
  const std::string_view quote = single ? "'" : "\"";
  out.append(quote);
  for (size_t position = 0; position < text.size() && !out.overflow();) {
    const utf8::Decoded c = utf8::decode(text, position);
    const TextView bytes = marked.substr(position, std::max<size_t>(1, c.n_bytes));
    position += bytes.size();
    if (c.code_point == '\\' || bytes.bytes() == quote) {
      out.append("\\");
      out.append(bytes);
    } else if (c.code_point == '\n') {
      out.append("\\n");
    } else if (c.code_point == '\r') {
      out.append("\\r");
    } else if (c.code_point == '\t') {
      out.append("\\t");
    } else if (is_printable(c.code_point)) {
      out.append(bytes);
    } else {
      append_hex(c.code_point, out);
    }
  }
  out.append(quote);
}

}  // namespace

const Value* Dict::find(const Value& key) const {
  for (const auto& item : items) {
    if (equals(item.first, key)) return &item.second;
  }
  return nullptr;
}

const Value* Dict::find(std::string_view key) const {
  for (const auto& item : items) {
    if (item.first.text() != nullptr && *item.first.text() == key) return &item.second;
  }
  return nullptr;
}

void Dict::set(const Value& key, Value value) {
  for (auto& item : items) {
    if (equals(item.first, key)) {
      item.second = std::move(value);
      return;
    }
  }
  items.emplace_back(key, std::move(value));
}

Value Value::make(List::Kind kind, std::vector<Value> items) {
  List list;
  list.items = std::move(items);
  list.kind = kind;
  return Value(std::move(list));
}

Value::Value(List list) {
  for (const Value& item : list.items) add_extent(list.extent, item.extent());
  data_ = std::make_shared<const List>(std::move(list));
}

Value::Value(Dict dict) {
  for (const auto& item : dict.items) {
    add_extent(dict.extent, item.first.extent());
    add_extent(dict.extent, item.second.extent());
  }
  data_ = std::make_shared<const Dict>(std::move(dict));
}

Extent Value::extent() const {
  if (text() != nullptr) return {1 + text()->size() / 64, 1};
  if (list() != nullptr) return list()->extent;
  return dict() != nullptr ? dict()->extent : Extent{};
}

std::optional<int64_t> Value::integer() const {
  if (const auto* value = std::get_if<int64_t>(&data_)) return *value;
  if (const auto* value = std::get_if<bool>(&data_)) return *value ? 1 : 0;
  return std::nullopt;
}

std::optional<double> Value::number() const {
  if (const auto* value = std::get_if<double>(&data_)) return *value;
  if (const auto value = integer()) return static_cast<double>(*value);
  return std::nullopt;
}

bool Value::is_same(const Value& other) const {
  if (data_.index() != other.data_.index()) return false;
  if (list() != nullptr) return list() == other.list();
  if (dict() != nullptr) return dict() == other.dict();
  return equals(*this, other);
}

bool Value::truthy() const {
  if (is_undefined() || is_none()) return false;
  if (const auto value = number()) return *value != 0;
  if (text() != nullptr) return !text()->empty();
  if (list() != nullptr) return list()->is_iterator() || !list()->items.empty();
  if (dict() != nullptr) return !dict()->items.empty();
  return true;
}

std::string_view Value::type_name() const {
  constexpr std::string_view kNames[] = {"undefined", "none",    "boolean",   "integer",  "float", "string",
                                         "list",      "mapping", "namespace", "function", "string"};
  return kNames[data_.index()];
}

std::string quoted(std::string_view name) {
  std::string out(1, '\'');
  out += utf8::printable(name);
  out += '\'';
  return out;
}

namespace {

// Wide enough for every int64_t and every double: an integer is compared with a float exactly.
long double exact(const Value& value) {
  return value.is_float() ? static_cast<long double>(*value.number())
                          : static_cast<long double>(*value.integer());
}

bool equal_lists(const Value& a, const Value& b, int depth) {
  using Kind = List::Kind;
  const List& x = *a.list();
  const List& y = *b.list();
  const bool views = x.kind == Kind::kKeys || x.kind == Kind::kItems;
  if (x.kind != y.kind) return false;
  if (x.kind == Kind::kIterator || x.kind == Kind::kValues) return &x == &y;
  if (x.items.size() != y.items.size()) return false;
  const auto equal = [depth](const Value& p, const Value& q) { return equals(p, q, depth + 1); };
  if (!views) return std::equal(x.items.begin(), x.items.end(), y.items.begin(), equal);
  return std::all_of(x.items.begin(), x.items.end(), [&](const Value& p) {
    return std::any_of(y.items.begin(), y.items.end(), [&](const Value& q) { return equal(p, q); });
  });
}

}  // namespace

bool equals(const Value& a, const Value& b, int depth) {
  if (depth > kMaxDepth) return false;
  if (a.is_number() && b.is_number()) {
    if (a.integer() && b.integer()) return *a.integer() == *b.integer();
    return exact(a) == exact(b);
  }
  if (a.text() != nullptr && b.text() != nullptr) return *a.text() == *b.text();
  if (a.list() != nullptr && b.list() != nullptr) return equal_lists(a, b, depth);
  if (a.dict() != nullptr && b.dict() != nullptr) {
    if (a.dict()->items.size() != b.dict()->items.size()) return false;
    return std::all_of(a.dict()->items.begin(), a.dict()->items.end(), [&](const auto& item) {
      const Value* other = b.dict()->find(item.first);
      return other != nullptr && equals(item.second, *other, depth + 1);
    });
  }
  if (a.name_space() != nullptr) return a.name_space() == b.name_space();
  if (a.function() != nullptr) return a.function() == b.function();
  return (a.is_none() && b.is_none()) || (a.is_undefined() && b.is_undefined());
}

std::optional<int> compare(const Value& a, const Value& b, int depth) {
  if (depth > kMaxDepth) return std::nullopt;
  if (a.integer() && b.integer()) return *a.integer() < *b.integer() ? -1 : *a.integer() > *b.integer();
  if (a.is_number() && b.is_number()) {
    const long double x = exact(a);
    const long double y = exact(b);
    return x < y ? -1 : x > y ? 1 : x == y ? 0 : kUnordered;
  }
  if (a.text() != nullptr && b.text() != nullptr)
    return a.text()->compare(*b.text());  // UTF-8 keeps the order
  const bool lists = a.is_kind(List::Kind::kList) && b.is_kind(List::Kind::kList);
  const bool tuples = a.is_kind(List::Kind::kTuple) && b.is_kind(List::Kind::kTuple);
  if (!lists && !tuples) return std::nullopt;
  const auto& x = a.list()->items;
  const auto& y = b.list()->items;
  for (size_t i = 0; i < std::min(x.size(), y.size()); ++i) {
    if (!equals(x[i], y[i])) return compare(x[i], y[i], depth + 1);
  }
  return x.size() < y.size() ? -1 : x.size() > y.size();
}

// The shortest digits that read back as the same number, in Python's notation.
std::string float_repr(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  char buffer[40];
  const auto scientific =
      std::to_chars(buffer, buffer + sizeof(buffer), value, std::chars_format::scientific);
  const std::string_view shortest(buffer, static_cast<size_t>(scientific.ptr - buffer));
  const int exponent = std::atoi(std::string(shortest.substr(shortest.find('e') + 1)).c_str());
  if (exponent < -4 || exponent >= 16) return std::string(shortest);
  char fixed[40];
  const auto end = std::to_chars(fixed, fixed + sizeof(fixed), value, std::chars_format::fixed).ptr;
  std::string text(fixed, end);
  return text.find('.') == std::string::npos ? text + ".0" : text;
}

void append_str(const Value& value, BoundedText& out) {
  if (value.text() != nullptr) return out.append(*value.marked_text());
  if (!value.is_undefined()) append_repr(value, out);
}

namespace {

void append_list_repr(const List& list, BoundedText& out, int depth) {
  using Kind = List::Kind;
  if (list.kind == Kind::kRange) {
    out.append("range(" + std::to_string(list.range[0]) + ", " + std::to_string(list.range[1]));
    if (list.range[2] != 1) out.append(", " + std::to_string(list.range[2]));
    return out.append(")");
  }
  if (list.kind == Kind::kIterator) return out.append("<generator object>");
  const bool is_tuple = list.kind == Kind::kTuple;
  const bool is_view = list.kind == Kind::kKeys || list.kind == Kind::kValues || list.kind == Kind::kItems;
  if (list.kind == Kind::kKeys) out.append("dict_keys(");
  if (list.kind == Kind::kValues) out.append("dict_values(");
  if (list.kind == Kind::kItems) out.append("dict_items(");
  out.append(is_tuple ? "(" : "[");
  for (size_t i = 0; i < list.items.size() && !out.overflow(); ++i) {
    if (i > 0) out.append(", ");
    append_repr(list.items[i], out, depth + 1);
  }
  if (is_tuple && list.items.size() == 1) out.append(",");
  out.append(is_tuple ? ")" : "]");
  if (is_view) out.append(")");
}

void append_scalar(const Value& value, BoundedText& out) {
  const std::string text = value.is_none()   ? "None"
                           : value.is_bool() ? (value.truthy() ? "True" : "False")
                           : value.is_int()  ? std::to_string(*value.integer())
                                             : float_repr(*value.number());
  out.append(TextView::one_origin(text, !value.is_said()));
}

}  // namespace

void append_repr(const Value& value, BoundedText& out, int depth) {
  if (depth > kMaxDepth || out.overflow()) return out.append("...");
  if (value.is_undefined()) return out.append("Undefined");
  if (value.is_none() || value.is_number()) return append_scalar(value, out);
  if (value.is_markup()) out.append("Markup(");
  if (value.text() != nullptr) append_text_repr(*value.marked_text(), out);
  if (value.is_markup()) out.append(")");
  if (value.text() != nullptr) return;
  if (value.list() != nullptr) return append_list_repr(*value.list(), out, depth);
  if (const Dict* dict = value.dict()) {
    out.append("{");
    for (size_t i = 0; i < dict->items.size(); ++i) {
      if (i > 0) out.append(", ");
      append_repr(dict->items[i].first, out, depth + 1);
      out.append(": ");
      append_repr(dict->items[i].second, out, depth + 1);
    }
    return out.append("}");
  }
  if (const Namespace* name_space = value.name_space(); name_space != nullptr && depth < kMaxDepth / 4) {
    if (name_space->is_loop) {
      out.append("<LoopContext ");
      append_repr(*name_space->attributes.find("index"), out);
      out.append("/");
      append_repr(*name_space->attributes.find("length"), out);
      return out.append(">");
    }
    out.append("<Namespace ");
    append_repr(Value(name_space->attributes), out, depth + 1);
    return out.append(">");
  }
  const Function* function = value.function();
  if (function != nullptr && function->kind == Function::Kind::kMacro) {
    out.append("<Macro ");
    append_text_repr(function->name, out);
    return out.append(">");
  }
  out.append("<");
  out.append(value.type_name());
  out.append(">");
}

}  // namespace lazyfill::jinja
