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
  out.append({buffer, static_cast<size_t>(n)});
}

void append_text_repr(const std::string& text, BoundedText& out) {
  const bool single = text.find('\'') == std::string::npos || text.find('"') != std::string::npos;
  const std::string_view quote = single ? "'" : "\"";
  out.append(quote);
  for (size_t position = 0; position < text.size() && !out.overflow();) {
    const utf8::Decoded c = utf8::decode(text, position);
    const std::string_view bytes = std::string_view(text).substr(position, std::max<size_t>(1, c.n_bytes));
    position += bytes.size();
    if (c.code_point == '\\' || bytes == quote) {
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

void append_json_text(const std::string& text, BoundedText& out) {
  out.append("\"");
  for (const char c : text) {
    switch (c) {
      case '"':
        out.append("\\\"");
        break;
      case '\\':
        out.append("\\\\");
        break;
      case '\n':
        out.append("\\n");
        break;
      case '\r':
        out.append("\\r");
        break;
      case '\t':
        out.append("\\t");
        break;
      case '\b':
        out.append("\\b");
        break;
      case '\f':
        out.append("\\f");
        break;
      default:
        if (static_cast<unsigned char>(c) < ' ') {
          char buffer[8];
          std::snprintf(buffer, sizeof(buffer), "\\u%04x", static_cast<unsigned>(c));
          out.append(buffer);
        } else {
          out.append({&c, 1});
        }
    }
  }
  out.append("\"");
}

bool append_json_key(const Value& key, BoundedText& out) {
  if (key.text() != nullptr) {
    append_json_text(*key.text(), out);
    return true;
  }
  if (!key.is_none() && !key.is_number()) return false;
  out.append("\"");
  append_json(key, std::nullopt, out);
  out.append("\"");
  return true;
}

// The line break before an item, or the space after a comma.
void append_json_break(std::optional<int64_t> indent, int depth, bool after_comma, BoundedText& out) {
  if (!indent) return out.append(after_comma ? " " : "");
  out.append("\n");
  for (int64_t i = 0; i < *indent * depth && !out.overflow(); ++i) out.append(" ");
}

bool append_json_list(const List& list, std::optional<int64_t> indent, BoundedText& out, int depth) {
  out.append("[");
  for (size_t i = 0; i < list.items.size(); ++i) {
    if (i > 0) out.append(",");
    append_json_break(indent, depth + 1, i > 0, out);
    if (!append_json(list.items[i], indent, out, depth + 1)) return false;
  }
  if (!list.items.empty()) append_json_break(indent, depth, false, out);
  out.append("]");
  return true;
}

bool append_json_dict(const Dict& dict, std::optional<int64_t> indent, BoundedText& out, int depth) {
  out.append("{");
  for (size_t i = 0; i < dict.items.size(); ++i) {
    if (i > 0) out.append(",");
    append_json_break(indent, depth + 1, i > 0, out);
    if (!append_json_key(dict.items[i].first, out)) return false;
    out.append(": ");
    if (!append_json(dict.items[i].second, indent, out, depth + 1)) return false;
  }
  if (!dict.items.empty()) append_json_break(indent, depth, false, out);
  out.append("}");
  return true;
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

bool Value::truthy() const {
  if (is_undefined() || is_none()) return false;
  if (const auto value = number()) return *value != 0;
  if (text() != nullptr) return !text()->empty();
  if (list() != nullptr) return !list()->items.empty();
  if (dict() != nullptr) return !dict()->items.empty();
  return true;
}

std::string_view Value::type_name() const {
  constexpr std::string_view kNames[] = {"undefined", "none", "boolean", "integer",   "float",
                                         "string",    "list", "mapping", "namespace", "function"};
  return kNames[data_.index()];
}

std::string quoted(std::string_view name) {
  std::string out(1, '\'');
  out += utf8::printable(name);
  out += '\'';
  return out;
}

bool equals(const Value& a, const Value& b, int depth) {
  if (depth > kMaxDepth) return false;
  if (a.is_number() && b.is_number()) {
    if (a.integer() && b.integer()) return *a.integer() == *b.integer();
    return *a.number() == *b.number();
  }
  if (a.text() != nullptr && b.text() != nullptr) return *a.text() == *b.text();
  if (a.list() != nullptr && b.list() != nullptr) {
    return a.list()->is_tuple == b.list()->is_tuple &&
           std::equal(a.list()->items.begin(), a.list()->items.end(), b.list()->items.begin(),
                      b.list()->items.end(),
                      [depth](const Value& x, const Value& y) { return equals(x, y, depth + 1); });
  }
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
  if (a.is_number() && b.is_number()) return *a.number() < *b.number() ? -1 : *a.number() > *b.number();
  if (a.text() != nullptr && b.text() != nullptr)
    return a.text()->compare(*b.text());  // UTF-8 keeps the order
  if (a.list() == nullptr || b.list() == nullptr || a.list()->is_tuple != b.list()->is_tuple)
    return std::nullopt;
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
  if (value.text() != nullptr) return out.append(*value.text());
  if (!value.is_undefined()) append_repr(value, out);
}

void append_repr(const Value& value, BoundedText& out, int depth) {
  if (depth > kMaxDepth || out.overflow()) return out.append("...");
  if (value.is_undefined()) return out.append("Undefined");
  if (value.is_none()) return out.append("None");
  if (value.is_bool()) return out.append(value.truthy() ? "True" : "False");
  if (value.is_int()) return out.append(std::to_string(*value.integer()));
  if (value.is_float()) return out.append(float_repr(*value.number()));
  if (value.text() != nullptr) return append_text_repr(*value.text(), out);
  if (const List* list = value.list()) {
    out.append(list->is_tuple ? "(" : "[");
    for (size_t i = 0; i < list->items.size(); ++i) {
      if (i > 0) out.append(", ");
      append_repr(list->items[i], out, depth + 1);
    }
    if (list->is_tuple && list->items.size() == 1) out.append(",");
    return out.append(list->is_tuple ? ")" : "]");
  }
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
  out.append("<");
  out.append(value.type_name());
  out.append(">");
}

bool append_json(const Value& value, std::optional<int64_t> indent, BoundedText& out, int depth) {
  if (depth > kMaxDepth) return false;
  if (out.overflow()) return true;
  if (value.is_none()) {
    out.append("null");
  } else if (value.is_bool()) {
    out.append(value.truthy() ? "true" : "false");
  } else if (value.is_float() && !std::isfinite(*value.number())) {
    out.append(std::isnan(*value.number()) ? "NaN" : *value.number() > 0 ? "Infinity" : "-Infinity");
  } else if (value.is_number()) {
    append_repr(value, out);
  } else if (value.text() != nullptr) {
    append_json_text(*value.text(), out);
  } else if (value.list() != nullptr) {
    return append_json_list(*value.list(), indent, out, depth);
  } else if (value.dict() != nullptr) {
    return append_json_dict(*value.dict(), indent, out, depth);
  } else {
    return false;
  }
  return true;
}

}  // namespace lazyfill::jinja
