// The expressions of the interpreter.
#include <algorithm>
#include <ctime>

#include "tokenizer/jinja/interpreter.h"
#include "tokenizer/utf8.h"

namespace lazyfill::jinja {
namespace {

bool holds(const std::string& op, int order) {
  if (op == "<") return order < 0;
  if (op == "<=") return order <= 0;
  if (op == ">") return order > 0;
  return order >= 0;
}

bool is_key(const Value& value) {
  return value.text() != nullptr || value.is_number() || value.is_none();
}

}  // namespace

Value Interpreter::eval(const Expr& expr) {
  if (!spend(1)) return Value();
  if (depth_ >= limits_.max_depth) return fail("it is nested too deeply");
  line_ = expr.line;
  ++depth_;
  Value value = eval_kind(expr);
  --depth_;
  return failed() ? Value() : value;
}

Value Interpreter::eval_kind(const Expr& expr) {
  using Kind = Expr::Kind;
  switch (expr.kind) {
    case Kind::kConstant:
      return expr.constant;
    case Kind::kName:
      return eval_name(expr.name);
    case Kind::kList:
    case Kind::kTuple: {
      std::vector<Value> items;
      for (const ExprPtr& arg : expr.args) items.push_back(eval(*arg));
      return expr.kind == Kind::kTuple ? Value::tuple(std::move(items)) : Value::list(std::move(items));
    }
    case Kind::kDict:
      return eval_dict(expr);
    case Kind::kAttribute:
      return attribute(eval(*expr.args[0]), expr.name);
    case Kind::kItem: {
      const Value object = eval(*expr.args[0]);
      return item(object, eval(*expr.args[1]));
    }
    case Kind::kSlice:
      return eval_slice(expr);
    case Kind::kCall:
      return eval_call(expr);
    case Kind::kFilter:
      return eval_filter(expr, nullptr);
    case Kind::kTest: {
      const Value input = eval(*expr.args[0]);
      const Arguments arguments = eval_arguments(expr);
      return failed() ? Value() : Value(test(expr.name, input, arguments));
    }
    case Kind::kNot:
      return Value(!eval(*expr.args[0]).truthy());
    case Kind::kNegate:
      return arithmetic(*this, "-", Value(int64_t{0}), eval(*expr.args[0]));
    case Kind::kPlus:
      return arithmetic(*this, "+", Value(int64_t{0}), eval(*expr.args[0]));
    case Kind::kBinary: {
      const Value a = eval(*expr.args[0]);
      const Value b = eval(*expr.args[1]);
      return failed() ? Value() : binary(expr.name, a, b);
    }
    case Kind::kAnd:
    case Kind::kOr: {
      Value left = eval(*expr.args[0]);
      return left.truthy() == (expr.kind == Kind::kOr) ? left : eval(*expr.args[1]);
    }
    case Kind::kConcat:
      return eval_concat(expr);
    case Kind::kCompare:
      return eval_compare(expr);
    case Kind::kConditional: {
      if (eval(*expr.args[1]).truthy()) return eval(*expr.args[0]);
      return expr.args[2] ? eval(*expr.args[2]) : Value();
    }
  }
  return Value();
}

Value Interpreter::eval_name(const std::string& name) {
  for (size_t i = frames_.size(); i > frame_base_; --i) {
    if (const auto found = frames_[i - 1].find(name); found != frames_[i - 1].end()) return found->second;
  }
  if (const auto found = frames_[0].find(name); found != frames_[0].end()) return found->second;
  if (const auto found = globals_.find(name); found != globals_.end()) return found->second;
  return Value(Undefined{name});
}

Value Interpreter::eval_dict(const Expr& expr) {
  Dict dict;
  for (size_t i = 0; i + 1 < expr.args.size(); i += 2) {
    const Value key = eval(*expr.args[i]);
    if (!failed() && !is_key(key))
      return fail("a value of type " + std::string(key.type_name()) + " cannot be a key");
    if (!spend(dict.items.size())) return Value();
    dict.set(key, eval(*expr.args[i + 1]));
  }
  return Value(std::move(dict));
}

Value Interpreter::attribute(const Value& object, const std::string& name) {
  if (failed()) return Value();
  if (object.is_undefined()) {
    return fail(quoted(object.undefined()->name) + " is undefined and has no " + quoted(name));
  }
  if (const Namespace* name_space = object.name_space()) {
    const Value* found = name_space->attributes.find(name);
    return found != nullptr ? *found : Value(Undefined{name});
  }
  if (has_method(object, name)) {
    Function method;
    method.kind = Function::Kind::kMethod;
    method.name = name;
    method.self = object;
    return Value(std::make_shared<const Function>(std::move(method)));
  }
  const Dict* dict = object.dict();
  const Value* found = dict != nullptr && spend(dict->items.size()) ? dict->find(name) : nullptr;
  return found != nullptr ? *found : Value(Undefined{name});
}

Value Interpreter::item(const Value& object, const Value& key) {
  if (failed()) return Value();
  if (object.is_undefined()) return fail(quoted(object.undefined()->name) + " is undefined and has no items");
  if (const Dict* dict = object.dict()) {
    if (!spend(dict->items.size() + key.extent().weight)) return Value();
    if (const Value* found = dict->find(key)) return *found;
  }
  if (const auto index = key.integer()) {
    const auto at = [&](size_t n) {
      const int64_t from_start = *index < 0 ? *index + static_cast<int64_t>(n) : *index;
      return from_start < 0 || from_start >= static_cast<int64_t>(n) ? n : static_cast<size_t>(from_start);
    };
    if (const List* list = object.list()) {
      const size_t i = at(list->items.size());
      return i < list->items.size() ? list->items[i] : Value(Undefined{"item"});
    }
    if (object.text() != nullptr) {
      const std::vector<Value> characters = items_of(object);
      const size_t i = at(characters.size());
      return i < characters.size() ? characters[i] : Value(Undefined{"item"});
    }
  }
  if (key.text() != nullptr) return attribute(object, *key.text());
  return Value(Undefined{"item"});
}

Value Interpreter::eval_slice(const Expr& expr) {
  const Value object = eval(*expr.args[0]);
  Value bounds[3] = {Value(None{}), Value(None{}), Value(None{})};
  for (size_t i = 0; i < 3; ++i) {
    if (expr.args[i + 1]) bounds[i] = eval(*expr.args[i + 1]);
  }
  return failed() ? Value() : slice(*this, object, bounds[0], bounds[1], bounds[2]);
}

Arguments Interpreter::eval_arguments(const Expr& expr) {
  Arguments arguments;
  for (size_t i = 1; i < expr.args.size(); ++i) arguments.positional.push_back(eval(*expr.args[i]));
  for (const auto& argument : expr.named)
    arguments.named.emplace_back(argument.first, eval(*argument.second));
  size_t weight = 0;
  for (const Value& value : arguments.positional) weight += value.extent().weight;
  for (const auto& argument : arguments.named) weight += argument.second.extent().weight;
  spend(weight);
  return arguments;
}

Value Interpreter::eval_call(const Expr& expr) {
  const Value callee = eval(*expr.args[0]);
  const Arguments arguments = eval_arguments(expr);
  if (failed()) return Value();
  line_ = expr.line;
  const Function* function = callee.function();
  if (function == nullptr) {
    return fail(callee.is_undefined()
                    ? quoted(callee.undefined()->name) + " is undefined and cannot be called"
                    : "a value of type " + std::string(callee.type_name()) + " cannot be called");
  }
  switch (function->kind) {
    case Function::Kind::kGlobal:
      return call_global(function->name, arguments);
    case Function::Kind::kMethod:
      if (!spend(function->self.extent().weight)) return Value();
      return call_method(*this, function->self, function->name, arguments);
    case Function::Kind::kMacro:
      return call_macro(*macros_[function->macro], arguments);
  }
  return Value();
}

// `input` stands for the innermost missing argument of a filter block.
Value Interpreter::eval_filter(const Expr& expr, const Value* input) {
  Value value;
  if (!expr.args[0]) {
    value = *input;
  } else if (input != nullptr && expr.args[0]->kind == Expr::Kind::kFilter) {
    value = eval_filter(*expr.args[0], input);
  } else {
    value = eval(*expr.args[0]);
  }
  const Arguments arguments = eval_arguments(expr);
  line_ = expr.line;
  return failed() ? Value() : filter(expr.name, value, arguments);
}

Value Interpreter::filter(const std::string& name, const Value& input, const Arguments& arguments) {
  const Filter known = find_filter(name);
  if (known == nullptr) return fail("the filter '" + utf8::printable(name) + "' is not supported");
  return spend(input.extent().weight) ? known(*this, input, arguments) : Value();
}

bool Interpreter::test(const std::string& name, const Value& input, const Arguments& arguments) {
  const Test known = find_test(name);
  if (known == nullptr) fail("the test '" + utf8::printable(name) + "' is not supported");
  return known != nullptr && spend(input.extent().weight) && known(*this, input, arguments);
}

bool Interpreter::contains(const Value& container, const Value& item) {
  if (!spend(container.extent().weight + item.extent().weight)) return false;
  if (container.text() != nullptr) {
    if (item.text() != nullptr) return container.text()->find(*item.text()) != std::string::npos;
    fail("only a string can be looked for in a string");
    return false;
  }
  if (container.dict() != nullptr) return container.dict()->find(item) != nullptr;
  const std::vector<Value> items = items_of(container);
  return std::any_of(items.begin(), items.end(), [&](const Value& other) { return equals(other, item); });
}

Value Interpreter::eval_compare(const Expr& expr) {
  Value left = eval(*expr.args[0]);
  for (size_t i = 0; i < expr.operators.size(); ++i) {
    Value right = eval(*expr.args[i + 1]);
    if (!spend(std::min(left.extent().weight, right.extent().weight))) return Value();
    const std::string& op = expr.operators[i];
    bool truth = false;
    if (op == "in" || op == "not in") {
      truth = contains(right, left) == (op == "in");
    } else if (op == "==" || op == "!=") {
      truth = equals(left, right) == (op == "==");
    } else {
      const auto order = compare(left, right);
      if (!order) {
        return fail("values of the types " + std::string(left.type_name()) + " and " +
                    std::string(right.type_name()) + " have no order");
      }
      truth = holds(op, *order);
    }
    if (failed() || !truth) return Value(false);
    left = std::move(right);
  }
  return Value(true);
}

Value Interpreter::eval_concat(const Expr& expr) {
  BoundedText out = text();
  for (const ExprPtr& arg : expr.args) append_str(eval(*arg), out);
  return failed() ? Value() : make(std::move(out));
}

Value Interpreter::binary(const std::string& op, const Value& a, const Value& b) {
  if (op == "+" && a.text() != nullptr && b.text() != nullptr) {
    BoundedText out = text();
    out.append(*a.text());
    out.append(*b.text());
    return make(std::move(out));
  }
  if (op == "+" && a.list() != nullptr && b.list() != nullptr && a.list()->is_tuple == b.list()->is_tuple) {
    std::vector<Value> items = items_of(a);
    const std::vector<Value> more = items_of(b);
    items.insert(items.end(), more.begin(), more.end());
    return Value(List{std::move(items), a.list()->is_tuple, {}});
  }
  return arithmetic(*this, op, a, b);
}

Value Interpreter::call_global(const std::string& name, const Arguments& arguments) {
  if (name == "range") return make_range(arguments);
  if (name == "namespace") return make_namespace(arguments);
  if (name == "strftime_now") return format_now(arguments);
  if (name == "dict") {
    Dict dict;
    if (!arguments.positional.empty() && arguments.positional[0].dict() != nullptr)
      dict = *arguments.positional[0].dict();
    dict.extent = {};
    for (const auto& argument : arguments.named) dict.set(Value(argument.first), argument.second);
    return Value(std::move(dict));
  }
  const Value* message = arguments.get(0, "message");  // raise_exception
  return fail(message == nullptr ? "it refuses the conversation"
                                 : "it refuses the conversation: " + utf8::printable(str(*message), 200));
}

Value Interpreter::call_macro(const Stmt& macro, const Arguments& arguments) {
  if (arguments.positional.size() > macro.targets.size()) return fail("too many arguments for a macro");
  Frame frame;
  for (size_t i = 0; i < macro.targets.size(); ++i) {
    const std::string& name = macro.targets[i].name;
    const Value* given = arguments.get(i, name);
    Value value = given != nullptr  ? *given
                  : macro.values[i] ? eval(*macro.values[i])
                                    : Value(Undefined{name});
    frame.insert_or_assign(name, std::move(value));
  }
  frames_.push_back(std::move(frame));
  const size_t base = std::exchange(frame_base_, frames_.size() - 1);
  Value text(render_inner(macro.body));
  frame_base_ = base;
  frames_.pop_back();
  return failed() ? Value() : text;
}

Value Interpreter::make_range(const Arguments& arguments) {
  int64_t bounds[3] = {0, 0, 1};
  const size_t n = arguments.positional.size();
  if (n < 1 || n > 3) return fail("range() takes one to three numbers");
  for (size_t i = 0; i < n; ++i) {
    const auto bound = arguments.positional[i].integer();
    if (!bound) return fail("range() takes whole numbers");
    bounds[n == 1 ? 1 : i] = *bound;
  }
  const auto [begin, end, step] = bounds;
  if (step == 0) return fail("range() with a step of zero");
  std::vector<Value> items;
  for (int64_t i = begin; (step > 0 ? i < end : i > end) && spend(4);) {
    items.emplace_back(i);
    if (__builtin_add_overflow(i, step, &i)) break;
  }
  return Value::list(std::move(items));
}

Value Interpreter::make_namespace(const Arguments& arguments) {
  auto name_space = std::make_shared<Namespace>();
  if (!arguments.positional.empty() && arguments.positional[0].dict() != nullptr) {
    name_space->attributes = *arguments.positional[0].dict();
  }
  for (const auto& argument : arguments.named)
    name_space->attributes.set(Value(argument.first), argument.second);
  namespaces_.push_back(name_space);
  return Value(std::move(name_space));
}

Value Interpreter::format_now(const Arguments& arguments) {
  const Value* format = arguments.get(0, "format");
  if (format == nullptr || format->text() == nullptr) return fail("strftime_now() takes a format");
  if (format->text()->size() > 128) return fail("the format of strftime_now() is too long");
  const auto now = static_cast<std::time_t>(now_s_);
  std::tm local{};
  if (localtime_r(&now, &local) == nullptr) return fail("strftime_now() has no valid time");
  char buffer[1024];
  const size_t n = std::strftime(buffer, sizeof(buffer), format->text()->c_str(), &local);
  return Value(std::string(buffer, n));
}

}  // namespace lazyfill::jinja
