// The expressions of the interpreter.
#include <algorithm>
#include <ctime>

#include "tokenizer/jinja/filters.h"
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
    case Kind::kPlus: {
      const Value value = eval(*expr.args[0]);
      if (value.is_float()) {
        return Value(expr.kind == Kind::kPlus ? *value.number() : -*value.number()).as_said(value.is_said());
      }
      return arithmetic(*this, expr.kind == Kind::kPlus ? "+" : "-", Value(int64_t{0}), value);
    }
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
  size_t scope = scopes_.size() - 1;
  size_t end = frames_.size();
  while (true) {
    for (size_t i = end; i > scopes_[scope].base; --i) {
      if (const auto found = frames_[i - 1].find(name); found != frames_[i - 1].end()) return found->second;
    }
    if (scope == 0) break;
    end = std::min(scopes_[scope].parent_end, scopes_[scope].base);
    scope = std::min(scopes_[scope].parent, scope - 1);
  }
  tools_were_read_ = tools_were_read_ || name == "tools";
  if (const auto found = globals_.find(name); found != globals_.end()) return found->second;
  return Value(Undefined{name});
}

Value Interpreter::eval_dict(const Expr& expr) {
  Dict dict;
  for (size_t i = 0; i + 1 < expr.args.size(); i += 2) {
    const Value key = eval(*expr.args[i]);
    if (!failed() && !is_hashable(key))
      return fail("a value of type " + std::string(key.type_name()) + " cannot be a key");
    if (!spend(dict.items.size() * key.extent().weight)) return Value();
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
  if (const Function* function = object.function(); function != nullptr &&
                                                    function->self.name_space() != nullptr &&
                                                    function->self.name_space()->is_fixed) {
    const Value* found = function->self.name_space()->attributes.find(name);  // a joiner's
    return found != nullptr && function->name == "joiner" ? *found : Value(Undefined{name});
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
    if (!spend(object.extent().weight + key.extent().weight)) return Value();
    if (const Value* found = dict->find(key)) return *found;
  }
  if (const auto index = key.integer()) {
    const auto at = [&](size_t n) {
      const int64_t from_start = *index < 0 ? *index + static_cast<int64_t>(n) : *index;
      return from_start < 0 || from_start >= static_cast<int64_t>(n) ? n : static_cast<size_t>(from_start);
    };
    if (const List* list = object.sequence()) {
      const size_t i = at(list->items.size());
      return i < list->items.size() ? list->items[i] : Value(Undefined{"item"});
    }
    if (object.text() != nullptr) {
      if (!spend(object.text()->size() / 8)) return Value();
      const size_t n = utf8::length(*object.text());
      const size_t i = at(n);
      if (i >= n) return Value(Undefined{"item"});
      const Value none{None{}};
      const Value begin(static_cast<int64_t>(i));
      return slice(*this, object, begin, i + 1 == n ? none : Value(static_cast<int64_t>(i + 1)), none);
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

bool Interpreter::contains(const Value& container, const Value& item) {
  if (!spend(container.extent().weight + item.extent().weight)) return false;
  if (container.text() != nullptr) {
    if (item.text() != nullptr) {
      return spend_search(container.text()->size(), item.text()->size()) &&
             container.text()->find(*item.text()) != std::string::npos;
    }
    fail("only a string can be looked for in a string");
    return false;
  }
  if (container.dict() != nullptr) {
    if (!is_hashable(item)) fail("a value of type " + std::string(item.type_name()) + " cannot be a key");
    return container.dict()->find(item) != nullptr;
  }
  const auto is_it = [&](const Value& other) { return equals(other, item); };
  if (const List* list = container.list()) {
    const auto begin = list->items.begin() + static_cast<std::ptrdiff_t>(list->n_taken);
    const auto found = std::find_if(begin, list->items.end(), is_it);
    const bool is_there = found != list->items.end();
    if (list->is_iterator()) {  // which is gone through up to what was looked for
      list->n_taken = static_cast<size_t>(found - list->items.begin()) + (is_there ? 1 : 0);
    }
    return is_there;
  }
  const std::vector<Value> items = items_of(container);
  return std::any_of(items.begin(), items.end(), is_it);
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
      truth = *order != kUnordered && holds(op, *order);
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

}  // namespace lazyfill::jinja
