// The values of a template, as Python has them: what they print, how they compare, how they become JSON.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "tokenizer/jinja/text.h"

namespace lazyfill::jinja {

class Value;

// A name or an attribute that does not exist: prints as nothing, is false, and has no attributes.
struct Undefined {
  std::string name;
};
struct None {};
// What it costs to walk a value, and how deep the walk goes: hostile templates build values that share their
// parts.
struct Extent {
  size_t weight =
      1;  // values inside, shared ones counted as often as they are met; 64 bytes of text count as one
  size_t depth = 1;
};
// Python's sequences, and what filters give: iterators, which can be gone through once, have no length and no
// items by number, and are true even when they are empty.
struct List {
  enum class Kind { kList, kTuple, kRange, kKeys, kValues, kItems, kIterator };
  std::vector<Value> items;
  Kind kind = Kind::kList;
  Extent extent;                          // set when the list becomes a value, after which nothing changes it
  std::array<int64_t, 3> range{0, 0, 1};  // kRange: begin, end, step
  mutable size_t n_taken = 0;             // kIterator: how many items were gone through

  bool is_sequence() const { return kind == Kind::kList || kind == Kind::kTuple || kind == Kind::kRange; }
  bool is_iterator() const { return kind == Kind::kIterator; }
};
// In the order of insertion. Look-ups are linear: the dictionaries of chat templates have a handful of keys.
struct Dict {
  std::vector<std::pair<Value, Value>> items;
  Extent extent;
  const Value* find(const Value& key) const;
  const Value* find(std::string_view key) const;
  void set(const Value& key, Value value);
};
// The one mutable value.
struct Namespace {
  Dict attributes;
  bool is_loop = false;            // the variable "loop"
  bool is_fixed = false;           // what joiner() and cycler() keep: no namespace for the template
  std::vector<Value> last_values;  // what loop.changed() got last
};
struct Function;
// Text that is HTML already, as the filters "safe" and "escape" give it: what is added to it gets escaped.
struct Markup {
  std::shared_ptr<const Text> text;
};

class Value {
 public:
  using TextPtr = std::shared_ptr<const Text>;
  using ListPtr = std::shared_ptr<const List>;
  using DictPtr = std::shared_ptr<const Dict>;
  using NamespacePtr = std::shared_ptr<Namespace>;
  using FunctionPtr = std::shared_ptr<const Function>;

  Value() : data_(Undefined{}) {}
  explicit Value(Undefined undefined) : data_(std::move(undefined)) {}
  explicit Value(None none) : data_(none) {}
  explicit Value(bool value) : data_(value) {}
  explicit Value(int64_t value) : data_(value) {}
  explicit Value(double value) : data_(value) {}
  explicit Value(Text text) : data_(std::make_shared<const Text>(std::move(text))) {}
  explicit Value(const TextView& text) : Value(text.copy()) {}
  explicit Value(std::string text) : Value(Text(std::move(text))) {}
  explicit Value(const char* text) : Value(std::string(text)) {}
  explicit Value(List list);
  explicit Value(Dict dict);
  explicit Value(NamespacePtr value) : data_(std::move(value)) {}
  explicit Value(FunctionPtr function) : data_(std::move(function)) {}
  explicit Value(Markup markup) : data_(std::move(markup)) {}
  static Value list(std::vector<Value> items) { return make(List::Kind::kList, std::move(items)); }
  static Value tuple(std::vector<Value> items) { return make(List::Kind::kTuple, std::move(items)); }
  static Value iterator(std::vector<Value> items) { return make(List::Kind::kIterator, std::move(items)); }
  static Value make(List::Kind kind, std::vector<Value> items);
  static Value of_template(std::string text) { return Value(Text(std::move(text), true)); }
  static Value markup(Text text) { return Value(Markup{std::make_shared<const Text>(std::move(text))}); }

  bool is_undefined() const { return std::holds_alternative<Undefined>(data_); }
  bool is_none() const { return std::holds_alternative<None>(data_); }
  bool is_bool() const { return std::holds_alternative<bool>(data_); }
  bool is_int() const { return std::holds_alternative<int64_t>(data_); }
  bool is_float() const { return std::holds_alternative<double>(data_); }
  bool is_number() const { return is_bool() || is_int() || is_float(); }

  // Null when the value is of another type.
  const std::string* text() const {
    const Text* text = marked_text();
    return text == nullptr ? nullptr : &text->bytes();
  }
  // The same with the origin of its parts.
  const Text* marked_text() const {
    const auto* markup = std::get_if<Markup>(&data_);
    return markup == nullptr ? pointee<TextPtr>() : markup->text.get();
  }
  // Numbers, truths and texts: whether what they print was said by the conversation, at least in part.
  bool is_said() const { return marked_text() != nullptr ? !marked_text()->is_all_of_template() : said_; }
  Value&& as_said(bool said = true) && {
    said_ = said_ || said;
    return std::move(*this);
  }
  bool is_markup() const { return std::holds_alternative<Markup>(data_); }
  const List* list() const { return pointee<ListPtr>(); }  // of any kind
  const List* sequence() const {                           // one that has a length and items by number
    return list() != nullptr && list()->is_sequence() ? list() : nullptr;
  }
  bool is_kind(List::Kind kind) const { return list() != nullptr && list()->kind == kind; }
  bool is_same(const Value& other) const;  // Python's "is"
  const Dict* dict() const { return pointee<DictPtr>(); }
  const Function* function() const { return pointee<FunctionPtr>(); }
  Namespace* name_space() const {
    const auto* pointer = std::get_if<NamespacePtr>(&data_);
    return pointer == nullptr ? nullptr : pointer->get();
  }
  const Undefined* undefined() const { return std::get_if<Undefined>(&data_); }

  std::optional<int64_t> integer() const;  // of an int or a bool
  std::optional<double> number() const;    // of an int, a bool or a float
  bool truthy() const;
  Extent extent() const;
  std::string_view type_name() const;  // for messages

 private:
  template <class Pointer>
  auto pointee() const -> decltype(std::declval<Pointer>().get()) {
    const auto* pointer = std::get_if<Pointer>(&data_);
    return pointer == nullptr ? nullptr : pointer->get();
  }

  std::variant<Undefined, None, bool, int64_t, double, TextPtr, ListPtr, DictPtr, NamespacePtr, FunctionPtr,
               Markup>
      data_;
  bool said_ = false;  // of what is no text; lists and mappings do not need it
};

// Something that can be called: a global function, a method with its object, or a macro.
struct Function {
  enum class Kind { kGlobal, kMethod, kMacro };
  Kind kind = Kind::kGlobal;
  std::string name;
  Value self;        // kMethod
  size_t macro = 0;  // kMacro: place in the interpreter's list
  size_t scope = 0;  // kMacro: where it was defined; see Interpreter::Scope
  size_t scope_end = 0;
};

bool equals(const Value& a, const Value& b, int depth = 0);
// Negative, zero or positive, kUnordered where a NaN is among them; empty for values that have no order.
inline constexpr int kUnordered = 1 << 20;
std::optional<int> compare(const Value& a, const Value& b, int depth = 0);

// A name as messages show it.
std::string quoted(std::string_view name);

// Python's str() and repr().
void append_str(const Value& value, BoundedText& out);
void append_repr(const Value& value, BoundedText& out, int depth = 0);
std::string float_repr(double value);

// The keyword arguments of Python's json.dumps().
struct JsonStyle {
  bool ensure_ascii = false;
  std::optional<std::string> indent;  // of one level; without it everything stands on one line
  std::string item_separator = ", ";
  std::string key_separator = ": ";
  bool sort_keys = false;
};
// False for values that JSON does not have.
bool append_json(const Value& value, const JsonStyle& style, BoundedText& out, int depth = 0);

}  // namespace lazyfill::jinja
