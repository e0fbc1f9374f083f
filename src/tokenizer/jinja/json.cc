// Python's json.dumps().
#include <algorithm>
#include <cmath>
#include <cstdio>

#include "tokenizer/jinja/value.h"
#include "tokenizer/utf8.h"

namespace lazyfill::jinja {
namespace {

constexpr int kMaxDepth = 64;

void append_escape(char32_t unit, BoundedText& out) {
  char buffer[8];
  const int n = std::snprintf(buffer, sizeof(buffer), "\\u%04x", static_cast<unsigned>(unit) & 0xFFFFU);
  out.append(std::string_view(buffer, static_cast<size_t>(n)));
}

void append_character(char32_t c, const TextView& bytes, bool ensure_ascii, BoundedText& out) {
  constexpr std::string_view kFrom = "\"\\\n\r\t\b\f";
  constexpr std::string_view kTo = "\"\\nrtbf";
  const size_t special = c < 0x80 ? kFrom.find(static_cast<char>(c)) : std::string_view::npos;
  if (special != std::string_view::npos) {
    out.append("\\");
    out.append(kTo.substr(special, 1));
  } else if (c < ' ' || (ensure_ascii && c >= 0x7F && c < 0x10000)) {
    append_escape(c, out);
  } else if (ensure_ascii && c >= 0x10000) {
    append_escape(0xD800 + ((c - 0x10000) >> 10), out);
    append_escape(0xDC00 + ((c - 0x10000) & 0x3FF), out);
  } else {
    out.append(bytes);
  }
}

void append_text(const Text& marked, bool ensure_ascii, BoundedText& out) {
  const std::string& text = marked.bytes();
  const TextView view(marked);
  out.append("\"");
  for (size_t position = 0; position < text.size() && !out.overflow();) {
    const utf8::Decoded c = utf8::decode(text, position);
    const size_t n_bytes = std::max<size_t>(1, c.n_bytes);
    append_character(c.code_point, view.substr(position, n_bytes), ensure_ascii, out);
    position += n_bytes;
  }
  out.append("\"");
}

void append_word(std::string_view word, const Value& value, BoundedText& out) {
  out.append(TextView::one_origin(word, !value.is_said()));
}

bool append_key(const Value& key, const JsonStyle& style, BoundedText& out) {
  if (key.text() != nullptr) {
    append_text(*key.marked_text(), style.ensure_ascii, out);
    return true;
  }
  if (!key.is_none() && !key.is_number()) return false;
  out.append("\"");
  append_json(key, style, out);
  out.append("\"");
  return true;
}

void append_break(const JsonStyle& style, int depth, BoundedText& out) {
  if (!style.indent) return;
  out.append("\n");
  for (int i = 0; i < depth && !out.overflow(); ++i) out.append(*style.indent);
}

bool append_list(const List& list, const JsonStyle& style, BoundedText& out, int depth) {
  out.append("[");
  for (size_t i = 0; i < list.items.size(); ++i) {
    if (i > 0) out.append(style.item_separator);
    append_break(style, depth + 1, out);
    if (!append_json(list.items[i], style, out, depth + 1)) return false;
  }
  if (!list.items.empty()) append_break(style, depth, out);
  out.append("]");
  return true;
}

bool append_dict(const Dict& dict, const JsonStyle& style, BoundedText& out, int depth) {
  std::vector<const std::pair<Value, Value>*> items;
  for (const auto& item : dict.items) items.push_back(&item);
  if (style.sort_keys) {
    for (const auto& item : dict.items) {
      if (!compare(dict.items.front().first, item.first)) return false;
    }
    std::stable_sort(items.begin(), items.end(), [](const auto* a, const auto* b) {
      return compare(a->first, b->first).value_or(0) < 0;
    });
  }
  out.append("{");
  for (size_t i = 0; i < items.size(); ++i) {
    if (i > 0) out.append(style.item_separator);
    append_break(style, depth + 1, out);
    if (!append_key(items[i]->first, style, out)) return false;
    out.append(style.key_separator);
    if (!append_json(items[i]->second, style, out, depth + 1)) return false;
  }
  if (!items.empty()) append_break(style, depth, out);
  out.append("}");
  return true;
}

}  // namespace

bool append_json(const Value& value, const JsonStyle& style, BoundedText& out, int depth) {
  if (depth > kMaxDepth) return false;
  if (out.overflow()) return true;
  if (value.is_none()) {
    append_word("null", value, out);
  } else if (value.is_bool()) {
    append_word(value.truthy() ? "true" : "false", value, out);
  } else if (value.is_float() && !std::isfinite(*value.number())) {
    append_word(std::isnan(*value.number()) ? "NaN"
                : *value.number() > 0       ? "Infinity"
                                            : "-Infinity",
                value, out);
  } else if (value.is_number()) {
    append_repr(value, out);
  } else if (value.text() != nullptr) {
    append_text(*value.marked_text(), style.ensure_ascii, out);
  } else if (value.is_kind(List::Kind::kList) || value.is_kind(List::Kind::kTuple)) {
    return append_list(*value.list(), style, out, depth);
  } else if (value.dict() != nullptr) {
    return append_dict(*value.dict(), style, out, depth);
  } else {
    return false;
  }
  return true;
}

}  // namespace lazyfill::jinja
