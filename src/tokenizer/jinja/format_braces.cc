// format.format(...)
#include <algorithm>

#include "tokenizer/jinja/formatting.h"
#include "tokenizer/utf8.h"

namespace lazyfill::jinja {
namespace {

bool is_number(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

struct Field {
  std::string_view name;
  char conversion = '\0';
  std::string_view spec;
};

class BracesFormat {
 public:
  BracesFormat(Interpreter& run, const Arguments& arguments) : run_(run), arguments_(arguments) {}

  // `depth`: how far specifications may have fields of their own.
  Value result(TextView format, int depth) {
    if (depth < 0) return run_.fail("a format has fields inside fields");
    BoundedText out = run_.text();
    while (!format.empty() && !run_.failed()) {
      const size_t brace = std::min(format.bytes().find_first_of("{}"), format.size());
      out.append(format.substr(0, brace));
      format.remove_prefix(brace);
      if (format.empty()) break;
      std::string_view rest = format.bytes();
      if (rest.size() > 1 && rest[1] == rest[0]) {
        out.append(format.substr(0, 1));
        format.remove_prefix(2);
      } else {
        const Value value = field_value(read_field(rest), depth);
        format.remove_prefix(format.size() - rest.size());
        if (!run_.failed()) out.append(*value.marked_text());
      }
    }
    return run_.failed() ? Value() : run_.make(std::move(out));
  }

 private:
  enum class Numbering { kUnknown, kAutomatic, kManual };

  // Takes {name!conversion:spec} off the text.
  Field read_field(std::string_view& text) {
    Field field;
    const auto fail = [&] {
      run_.fail("a format has a brace that is not closed");
      return Field{};
    };
    if (text[0] == '}') return fail();
    text.remove_prefix(1);
    size_t end = 0;
    for (bool in_brackets = false; end < text.size(); ++end) {
      const char c = text[end];
      if (c == '{') return fail();
      if (c == '[') in_brackets = true;
      if (c == ']') in_brackets = false;
      if (!in_brackets && (c == '}' || c == ':' || c == '!')) break;
    }
    if (end >= text.size()) return fail();
    field.name = text.substr(0, end);
    text.remove_prefix(end);
    if (text[0] == '!') {
      if (text.size() < 3 || (text[2] != '}' && text[2] != ':')) return fail();
      field.conversion = text[1];
      text.remove_prefix(2);
    }
    const bool has_spec = text[0] == ':';
    text.remove_prefix(1);
    if (!has_spec) return field;
    int depth = 1;
    for (end = 0; end < text.size(); ++end) {
      depth += text[end] == '{' ? 1 : text[end] == '}' ? -1 : 0;
      if (depth == 0) break;
    }
    if (end >= text.size()) return fail();
    field.spec = text.substr(0, end);
    text.remove_prefix(end + 1);
    return field;
  }

  Value field_value(const Field& field, int depth) {
    if (run_.failed() || !run_.spend(1 + arguments_.named.size() / 8)) return Value();
    Value value = look_up(field.name);
    if (run_.failed()) return Value();
    if (field.conversion == 's') value = Value(run_.str(value));
    if (field.conversion == 'a') value = Value(ascii_repr(run_, value));
    if (field.conversion == 'r') {
      BoundedText text = run_.text();
      append_repr(value, text);
      value = run_.make(std::move(text));
    }
    if (field.conversion != '\0' && std::string_view("sar").find(field.conversion) == std::string_view::npos)
      return run_.fail("a format has a conversion that is not supported");
    const Value spec = result(field.spec, depth - 1);
    return run_.failed() ? Value() : format_value(run_, value, *spec.text());
  }

  // name.attribute[item]
  Value look_up(std::string_view path) {
    const size_t end = std::min(path.find_first_of(".["), path.size());
    const Value* first = argument(path.substr(0, end), path.empty());
    if (first == nullptr) return run_.fail("a format names a value that is not there");
    Value value = *first;
    path.remove_prefix(end);
    while (!path.empty() && !run_.failed()) {
      const bool is_item = path[0] == '[';
      path.remove_prefix(1);
      const size_t n = std::min(is_item ? path.find(']') : path.find_first_of(".["), path.size());
      const std::string_view part = path.substr(0, n);
      if (part.empty() || (is_item && n == path.size()))
        return run_.fail("a format has an attribute without a name");
      path.remove_prefix(n + (is_item ? 1 : 0));
      if (is_item && !path.empty() && path[0] != '.' && path[0] != '[')
        return run_.fail("a format has text behind a bracket");
      if (!is_item) {
        value = run_.attribute(value, std::string(part));
      } else if (is_number(part)) {
        const auto index = read_integer(part, 10).value;
        value = index ? run_.item(value, Value(*index)) : run_.fail("a number is out of range");
      } else {
        value = run_.item(value, Value(std::string(part)));
      }
    }
    return value;
  }

  const Value* argument(std::string_view name, bool automatic) {
    if (!automatic && !is_number(name)) return arguments_.get(SIZE_MAX, name);
    const Numbering wanted = automatic ? Numbering::kAutomatic : Numbering::kManual;
    if (numbering_ != Numbering::kUnknown && numbering_ != wanted) {
      run_.fail("a format has fields with numbers and others without");
      return nullptr;
    }
    numbering_ = wanted;
    const size_t index =
        automatic ? n_used_++ : static_cast<size_t>(read_integer(name, 10).value.value_or(INT64_MAX));
    return index < arguments_.positional.size() ? &arguments_.positional[index] : nullptr;
  }

  Interpreter& run_;
  const Arguments& arguments_;
  Numbering numbering_ = Numbering::kUnknown;
  size_t n_used_ = 0;
};

}  // namespace

Value format_braces(Interpreter& run, const TextView& format, const Arguments& arguments) {
  return BracesFormat(run, arguments).result(format, 2);
}

}  // namespace lazyfill::jinja
