// Runs a parsed template. A template comes with a model file and is not to be trusted: every step, every byte
// it makes and every level it descends is counted, and the run ends with an error at the limit.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lazyfill/error.h"
#include "tokenizer/jinja/ast.h"

namespace lazyfill::jinja {

struct Limits {
  size_t max_steps = 4'000'000;          // well under a second
  size_t max_bytes = size_t{100} << 20;  // of all texts made on the way
  size_t max_depth = 400;                // of statements, expressions and macros inside each other
};

struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
  // Null when it is not given.
  const Value* get(size_t index, std::string_view name) const;
};

// Errors are sticky: after the first one every evaluation returns Undefined at once.
class Interpreter {
 public:
  explicit Interpreter(const Limits& limits) : limits_(limits), frames_(1), scopes_(1) {}
  ~Interpreter();
  Interpreter(const Interpreter&) = delete;
  Interpreter& operator=(const Interpreter&) = delete;

  void set_global(std::string name, Value value) {
    globals_.insert_or_assign(std::move(name), std::move(value));
  }
  // Whether the template asked for the global variable "tools".
  bool tools_were_read() const { return tools_were_read_; }
  // Seconds since 1970 that strftime_now() shows, in local time.
  void set_now(int64_t now_s) { now_s_ = now_s; }

  // With the origin of every part: what the body says, or what a global holds that was made as such.
  Result<Text> render(const Body& body);

  // For the built-in filters, tests and methods.
  Value fail(const std::string& message);
  bool failed() const { return error_.has_value(); }
  bool spend(size_t n_steps);
  // For a search, whose time can be the product of both lengths.
  bool spend_search(size_t text_bytes, size_t wanted_bytes) { return spend(text_bytes * wanted_bytes / 256); }
  BoundedText text() const { return BoundedText(limits_.max_bytes - bytes_used_); }
  Value make(BoundedText text);  // the text as a value, its bytes counted
  Text counted(BoundedText text);
  Text str(const Value& value);
  // The items of a list, the keys of a mapping, the characters of a string.
  std::vector<Value> items_of(const Value& value);
  Value attribute(const Value& object, const std::string& name);
  Value item(const Value& object, const Value& key);
  // a op b for the operators of arithmetic.
  Value binary(std::string_view op, const Value& a, const Value& b);
  Value filter(const std::string& name, const Value& input, const Arguments& arguments);
  bool test(const std::string& name, const Value& input, const Arguments& arguments);
  bool contains(const Value& container, const Value& item);

 private:
  enum class Flow { kNext, kBreak, kContinue };
  using Frame = std::map<std::string, Value, std::less<>>;
  // A running macro sees its own frames, from `base` on, and those that its definition saw: not its caller's.
  struct Scope {
    size_t base = 0;
    size_t parent = 0;      // scope of the definition
    size_t parent_end = 0;  // its frames up to here
  };

  Flow run(const Body& body);
  Flow run(const Stmt& stmt);
  Flow run_if(const Stmt& stmt);
  void run_for(const Stmt& stmt);
  Flow run_iteration(const Stmt& stmt, const std::vector<Value>& items, size_t index, const Value& loop);
  Text render_inner(const Body& body);
  void assign(const std::vector<Stmt::Target>& targets, const Value& value);
  void assign(const Stmt::Target& target, Value value);

  Value eval(const Expr& expr);
  Value eval_kind(const Expr& expr);
  Value eval_name(const std::string& name);
  Value eval_dict(const Expr& expr);
  Value eval_slice(const Expr& expr);
  Value eval_call(const Expr& expr);
  Value eval_filter(const Expr& expr, const Value* input);
  Value eval_compare(const Expr& expr);
  Value eval_concat(const Expr& expr);
  Arguments eval_arguments(const Expr& expr);
  void add_named_rest(const Value& rest, Arguments& arguments);
  // What a macro gets as varargs and kwargs.
  struct RestArguments {
    Value positional;
    Value named;
  };
  static RestArguments take_rest(const Stmt& macro, Arguments& given);
  Value call_global(const std::string& name, const Arguments& arguments);
  Value call_macro(const Function& function, const Arguments& arguments);
  Value define_macro(const Stmt& stmt);
  void run_call(const Stmt& stmt);
  Value make_dict(const Arguments& arguments);
  bool merge_into(Dict& dict, const Arguments& arguments);
  Value make_range(const Arguments& arguments);
  Value make_namespace(const Arguments& arguments);
  Value make_joiner(const Arguments& arguments);
  Value make_cycler(const Arguments& arguments);
  Value format_now(const Arguments& arguments);

  Limits limits_;
  size_t steps_used_ = 0;
  size_t bytes_used_ = 0;
  size_t depth_ = 0;
  size_t line_ = 1;
  int64_t now_s_ = 0;
  bool tools_were_read_ = false;
  std::optional<Error> error_;
  std::map<std::string, Value, std::less<>> globals_;
  std::vector<Frame> frames_;  // the first holds the template's own variables
  std::vector<Scope> scopes_;
  std::vector<const Stmt*> macros_;
  std::vector<Value::NamespacePtr> namespaces_;  // emptied at the end, since they may hold each other
  BoundedText* output_ = nullptr;
};

// builtin_*.cc; the filters are in filters.h
struct TestEntry {
  std::string_view name;
  size_t n_arguments = 0;
  bool (*call)(Interpreter& run, const Value& input, const Arguments& arguments) = nullptr;
};
const TestEntry* find_test(std::string_view name);  // null when it is not known
// Fails the run when arguments are missing, too many, given twice or not called so. `parameters` are names
// with spaces between them; "*" takes anything.
bool check_arguments(Interpreter& run, const std::string& what, std::string_view parameters,
                     size_t n_required, const Arguments& arguments);
bool has_method(const Value& object, std::string_view name);
Value call_method(Interpreter& run, const Value& object, std::string_view name, const Arguments& arguments);
// Python's arithmetic; fails the run on types that do not fit.
Value arithmetic(Interpreter& run, std::string_view op, const Value& a, const Value& b);
Value slice(Interpreter& run, const Value& object, const Value& begin, const Value& end, const Value& step);

}  // namespace lazyfill::jinja
