#include "tokenizer/jinja/pretty_print.h"

#include <algorithm>

#include "tokenizer/jinja/text_functions.h"
#include "tokenizer/utf8.h"

namespace lazyfill::jinja {
namespace {

constexpr int64_t kColumns = 80;

using Item = std::pair<Value, Value>;

// Keys of different types stand in the order of their types' names: NoneType, numbers, str, tuple.
int rank_of(const Value& key) {
  return key.is_none() ? 0 : key.is_number() ? 1 : key.text() != nullptr ? 2 : 3;
}

std::vector<Item> sorted_items(const Dict& dict) {
  std::vector<Item> items = dict.items;
  std::stable_sort(items.begin(), items.end(), [](const Item& a, const Item& b) {
    if (rank_of(a.first) != rank_of(b.first)) return rank_of(a.first) < rank_of(b.first);
    const auto order = compare(a.first, b.first);
    return order && *order < 0;
  });
  return items;
}

// The value with the keys of all mappings in order, as one line shows it.
Value with_sorted_keys(const Value& value, int depth = 0) {
  constexpr int kMaxDepth = 64;  // repr() prints deeper ones as "..."
  if (depth > kMaxDepth) return value;
  if (value.dict() != nullptr) {
    Dict dict;
    dict.items = sorted_items(*value.dict());
    for (Item& item : dict.items) item.second = with_sorted_keys(item.second, depth + 1);
    return Value(std::move(dict));
  }
  if (!value.is_kind(List::Kind::kList) && !value.is_kind(List::Kind::kTuple)) return value;
  std::vector<Value> items;
  for (const Value& item : value.list()->items) items.push_back(with_sorted_keys(item, depth + 1));
  return Value::make(value.list()->kind, std::move(items));
}

class PrettyPrinter {
 public:
  explicit PrettyPrinter(Interpreter& run) : run_(run), out_(run.text()) {}

  Value print(const Value& value) {
    if (run_.spend(value.extent().weight)) put(with_sorted_keys(value), 0, 0, 0);
    return run_.failed() ? Value() : run_.make(std::move(out_));
  }

 private:
  Text repr(const Value& value) {
    if (!run_.spend(value.extent().weight)) return {};
    BoundedText text = run_.text();
    append_repr(value, text);
    const Value made = run_.make(std::move(text));
    return run_.failed() ? Text() : *made.marked_text();
  }

  static int64_t width_of(std::string_view text) { return static_cast<int64_t>(utf8::length(text)); }

  void new_line(int64_t indent) {
    out_.append("\n");
    out_.append_times(" ", indent);
  }

  // `indent`: where the value begins. `allowance`: columns that what closes around it needs behind it.
  void put(const Value& value, int64_t indent, int64_t allowance, int level) {
    if (run_.failed() || out_.overflow()) return;
    const Text line = repr(value);
    const bool fits = width_of(line.bytes()) <= kColumns - indent - allowance;
    if (!fits && value.dict() != nullptr) return put_dict(value, indent, allowance + 1, level + 1);
    if (!fits && value.is_kind(List::Kind::kList)) {
      out_.append("[");
      put_items(value, indent + 1, allowance + 1, level + 1);
      return out_.append("]");
    }
    if (!fits && value.is_kind(List::Kind::kTuple)) {
      const std::string_view end = value.list()->items.size() == 1 ? ",)" : ")";
      out_.append("(");
      put_items(value, indent + 1, allowance + static_cast<int64_t>(end.size()), level + 1);
      return out_.append(end);
    }
    if (!fits && value.text() != nullptr && !value.is_markup())
      return put_text(*value.marked_text(), indent, allowance, level == 0);
    out_.append(line);
  }

  void put_items(const Value& value, int64_t indent, int64_t allowance, int level) {
    const std::vector<Value>& items = value.list()->items;
    for (size_t i = 0; i < items.size(); ++i) {
      if (i > 0) out_.append(",");
      if (i > 0) new_line(indent);
      put(items[i], indent, i + 1 == items.size() ? allowance : 1, level);
    }
  }

  void put_dict(const Value& value, int64_t indent, int64_t allowance, int level) {
    const std::vector<Item>& items = value.dict()->items;
    out_.append("{");
    for (size_t i = 0; i < items.size(); ++i) {
      if (i > 0) out_.append(",");
      if (i > 0) new_line(indent + 1);
      const Text key = repr(items[i].first);
      out_.append(key);
      out_.append(": ");
      put(items[i].second, indent + 1 + width_of(key.bytes()) + 2, i + 1 == items.size() ? allowance : 1,
          level);
    }
    out_.append("}");
  }

  // A long text becomes several, one below the other: a line each, and long lines between words.
  void put_text(const TextView& text, int64_t indent, int64_t allowance, bool in_brackets) {
    if (in_brackets) {
      ++indent;
      ++allowance;
    }
    const int64_t width = kColumns - indent;
    std::vector<Text> chunks;
    Text line_repr;
    const std::vector<TextView> lines = lines_of(text, true);
    for (size_t i = 0; i < lines.size() && !run_.failed(); ++i) {
      const int64_t at_end = i + 1 == lines.size() ? allowance : 0;
      line_repr = repr(Value(lines[i]));
      if (width_of(line_repr.bytes()) <= width - at_end) {
        chunks.push_back(line_repr);
      } else {
        break_line(lines[i], width, at_end, chunks);
      }
    }
    if (chunks.size() == 1) return out_.append(line_repr);
    if (in_brackets) out_.append("(");
    for (size_t i = 0; i < chunks.size(); ++i) {
      if (i > 0) new_line(indent);
      out_.append(chunks[i]);
    }
    if (in_brackets) out_.append(")");
  }

  // Parts are words with the white space behind them; the last one needs `at_end` columns more.
  void break_line(const TextView& line, int64_t width, int64_t at_end, std::vector<Text>& chunks) {
    size_t first = 0;  // of the current chunk
    for (size_t begin = 0; begin < line.size() && !run_.failed();) {
      const size_t end = end_of_part(line.bytes(), begin);
      const Text candidate = repr(Value(line.substr(first, end - first)));
      if (end == line.size()) width -= at_end;
      if (width_of(candidate.bytes()) > width) {
        if (begin > first) chunks.push_back(repr(Value(line.substr(first, begin - first))));
        first = begin;
      }
      begin = end;
    }
    if (first < line.size()) chunks.push_back(repr(Value(line.substr(first))));
  }

  static size_t end_of_part(std::string_view line, size_t position) {
    bool in_space = false;
    while (position < line.size()) {
      const utf8::Decoded c = utf8::decode(line, position);
      if (in_space && !is_python_space(c.code_point)) break;
      in_space = is_python_space(c.code_point);
      position += std::max<size_t>(1, c.n_bytes);
    }
    return position;
  }

  Interpreter& run_;
  BoundedText out_;
};

}  // namespace

Value pretty_printed(Interpreter& run, const Value& value) {
  return PrettyPrinter(run).print(value);
}

}  // namespace lazyfill::jinja
