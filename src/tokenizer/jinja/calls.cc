// Calls of the interpreter: of filters and tests, of macros, and of the global functions.
#include <algorithm>
#include <ctime>

#include "tokenizer/jinja/filters.h"
#include "tokenizer/jinja/interpreter.h"
#include "tokenizer/utf8.h"

namespace lazyfill::jinja {
namespace {

Value method_of(const Value& object, const char* name) {
  Function method;
  method.kind = Function::Kind::kMethod;
  method.name = name;
  method.self = object;
  return Value(std::make_shared<const Function>(std::move(method)));
}

}  // namespace

Arguments Interpreter::eval_arguments(const Expr& expr) {
  Arguments arguments;
  for (size_t i = 1; i < expr.args.size(); ++i) arguments.positional.push_back(eval(*expr.args[i]));
  for (const auto& argument : expr.named)
    arguments.named.emplace_back(argument.first, eval(*argument.second));
  if (expr.rest) {
    const Value rest = eval(*expr.rest);
    for (Value& value : items_of(rest)) arguments.positional.push_back(std::move(value));
  }
  if (expr.named_rest) add_named_rest(eval(*expr.named_rest), arguments);
  size_t weight = 0;
  for (const Value& value : arguments.positional) weight += value.extent().weight;
  for (const auto& argument : arguments.named) weight += argument.second.extent().weight;
  spend(weight);
  return arguments;
}

// The names of f(**rest).
void Interpreter::add_named_rest(const Value& rest, Arguments& arguments) {
  if (failed()) return;
  if (rest.dict() == nullptr) {
    fail("a value of type " + std::string(rest.type_name()) + " cannot be taken apart into named arguments");
    return;
  }
  for (const auto& [name, value] : rest.dict()->items) {
    if (!spend(1 + arguments.named.size())) return;
    if (name.text() == nullptr) {
      fail("an argument's name is no text");
      return;
    }
    if (arguments.get(SIZE_MAX, *name.text()) != nullptr) {
      fail("the argument " + quoted(*name.text()) + " is given twice");
      return;
    }
    arguments.named.emplace_back(*name.text(), value);
  }
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
      return call_macro(*function, arguments);
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
  if (failed()) return Value();
  const FilterEntry* known = find_filter(name);
  if (known == nullptr) return fail("the filter '" + utf8::printable(name) + "' is not supported");
  if (!check_arguments(*this, name, known->parameters, known->n_required, arguments)) return Value();
  if (!spend(input.extent().weight)) return Value();
  Value made = known->call(*this, input, arguments);
  return std::move(made).as_said(input.is_said() && made.is_number());
}

bool Interpreter::test(const std::string& name, const Value& input, const Arguments& arguments) {
  if (failed()) return false;
  const TestEntry* known = find_test(name);
  if (known == nullptr) {
    fail("the test '" + utf8::printable(name) + "' is not supported");
    return false;
  }
  const size_t n = known->n_arguments;
  const std::string_view parameters = n == 0                  ? ""
                                      : name == "divisibleby" ? "num"
                                      : name == "in"          ? "seq"
                                                              : "other";
  if (!check_arguments(*this, name, parameters, n, arguments)) return false;
  return spend(input.extent().weight) && known->call(*this, input, arguments);
}

bool check_arguments(Interpreter& run, const std::string& what, std::string_view parameters,
                     size_t n_required, const Arguments& arguments) {
  if (parameters == "*") return true;
  const auto complain = [&](const std::string& why) {
    run.fail("the arguments of '" + utf8::printable(what) + "' do not fit: " + why);
    return false;
  };
  std::vector<std::string_view> names;
  while (!parameters.empty()) {
    const size_t space = std::min(parameters.find(' '), parameters.size());
    names.push_back(parameters.substr(0, space));
    parameters.remove_prefix(std::min(space + 1, parameters.size()));
  }
  if (arguments.positional.size() > names.size()) return complain("there are too many");
  size_t n_given = arguments.positional.size();
  for (const auto& argument : arguments.named) {
    const auto place = std::find(names.begin(), names.end(), argument.first);
    if (place == names.end()) return complain("none is called " + quoted(argument.first));
    if (static_cast<size_t>(place - names.begin()) < arguments.positional.size())
      return complain(quoted(argument.first) + " is given twice");
    if (static_cast<size_t>(place - names.begin()) < n_required) ++n_given;
  }
  return n_given >= n_required || complain("some are missing");
}

Value Interpreter::call_global(const std::string& name, const Arguments& arguments) {
  if (name == "range") return make_range(arguments);
  if (name == "namespace") return make_namespace(arguments);
  if (name == "strftime_now") return format_now(arguments);
  if (name == "dict") return make_dict(arguments);
  if (name == "joiner") return make_joiner(arguments);
  if (name == "cycler") return make_cycler(arguments);
  const Value* message = arguments.get(0, "message");  // raise_exception
  return fail(message == nullptr
                  ? "it refuses the conversation"
                  : "it refuses the conversation: " + utf8::printable(str(*message).bytes(), 200));
}

Value Interpreter::define_macro(const Stmt& stmt) {
  Function macro;
  macro.kind = Function::Kind::kMacro;
  macro.name = stmt.text;
  macro.macro = macros_.size();
  macro.scope = scopes_.size() - 1;
  macro.scope_end = frames_.size();
  macros_.push_back(&stmt);
  return Value(std::make_shared<const Function>(std::move(macro)));
}

// Takes what no parameter of the macro receives off the arguments, where its body asks for that.
Interpreter::RestArguments Interpreter::take_rest(const Stmt& macro, Arguments& given) {
  RestArguments rest;
  std::vector<Value> positional;
  const size_t n = macro.targets.size();
  if (macro.takes_rest && given.positional.size() > n) {
    positional.assign(given.positional.begin() + static_cast<std::ptrdiff_t>(n), given.positional.end());
    given.positional.resize(n);
  }
  Dict named;
  if (macro.takes_named_rest) {
    const auto is_parameter = [&](const auto& argument) {
      const auto begin =
          macro.targets.begin() + static_cast<std::ptrdiff_t>(std::min(n, given.positional.size()));
      return std::any_of(begin, macro.targets.end(),
                         [&](const Stmt::Target& target) { return target.name == argument.first; });
    };
    const auto begin = std::stable_partition(given.named.begin(), given.named.end(), is_parameter);
    for (auto argument = begin; argument != given.named.end(); ++argument)
      named.items.emplace_back(Value(argument->first), argument->second);
    given.named.erase(begin, given.named.end());
  }
  rest.positional = Value::tuple(std::move(positional));
  rest.named = Value(std::move(named));
  return rest;
}

Value Interpreter::call_macro(const Function& function, const Arguments& arguments) {
  const Stmt& macro = *macros_[function.macro];
  std::string parameters;
  for (const Stmt::Target& target : macro.targets) parameters += target.name + " ";
  Arguments given = arguments;
  Value caller;
  const auto is_caller = [](const auto& argument) { return argument.first == "caller"; };
  if (const auto found = std::find_if(given.named.begin(), given.named.end(), is_caller);
      macro.takes_caller && found != given.named.end()) {
    caller = found->second;
    given.named.erase(found);
  }
  const RestArguments rest = take_rest(macro, given);
  if (!check_arguments(*this, macro.text, parameters, 0, given)) return Value();
  scopes_.push_back({frames_.size(), function.scope, function.scope_end});
  frames_.emplace_back();
  if (!caller.is_undefined()) frames_.back().insert_or_assign("caller", caller);
  if (macro.takes_rest) frames_.back().insert_or_assign("varargs", rest.positional);
  if (macro.takes_named_rest) frames_.back().insert_or_assign("kwargs", rest.named);
  for (size_t i = 0; i < macro.targets.size() && !failed(); ++i) {
    const std::string& name = macro.targets[i].name;
    const Value* value = given.get(i, name);
    assign(macro.targets[i], value != nullptr  ? *value
                             : macro.values[i] ? eval(*macro.values[i])
                                               : Value(Undefined{name}));
  }
  Value text(failed() ? Text() : render_inner(macro.body));
  frames_.pop_back();
  scopes_.pop_back();
  return failed() ? Value() : text;
}

// {% call macro() %}body{% endcall %}: the body becomes the macro "caller".
void Interpreter::run_call(const Stmt& stmt) {
  const Value callee = eval(*stmt.expr->args[0]);
  Arguments arguments = eval_arguments(*stmt.expr);
  if (failed()) return;
  if (callee.function() == nullptr || callee.function()->kind != Function::Kind::kMacro) {
    fail("only a macro can be called with a body");
    return;
  }
  arguments.named.emplace_back("caller", define_macro(stmt));
  append_str(call_macro(*callee.function(), arguments), *output_);
}

// What dict() and namespace() take: a mapping or a list of pairs, then names.
bool Interpreter::merge_into(Dict& dict, const Arguments& arguments) {
  if (arguments.positional.size() > 1) fail("dict() and namespace() take one value without a name");
  if (failed()) return false;
  if (!arguments.positional.empty() && arguments.positional[0].dict() != nullptr) {
    dict.items = arguments.positional[0].dict()->items;
  } else if (!arguments.positional.empty()) {
    for (const Value& pair : items_of(arguments.positional[0])) {
      const std::vector<Value> both = items_of(pair);
      if (!failed() && (both.size() != 2 || !is_hashable(both[0])))
        fail("dict() takes pairs of a key and a value");
      if (failed() || !spend(dict.items.size() * both[0].extent().weight)) return false;
      dict.set(both[0], both[1]);
    }
  }
  for (const auto& argument : arguments.named) {
    if (!spend(dict.items.size())) return false;
    dict.set(Value(argument.first), argument.second);
  }
  return !failed();
}

Value Interpreter::make_dict(const Arguments& arguments) {
  Dict dict;
  return merge_into(dict, arguments) ? Value(std::move(dict)) : Value();
}

Value Interpreter::make_range(const Arguments& arguments) {
  int64_t bounds[3] = {0, 0, 1};
  const size_t n = arguments.positional.size();
  if (n < 1 || n > 3 || !arguments.named.empty()) return fail("range() takes one to three numbers");
  for (size_t i = 0; i < n; ++i) {
    const auto bound = arguments.positional[i].integer();
    if (!bound) return fail("range() takes whole numbers");
    bounds[n == 1 ? 1 : i] = *bound;
  }
  const auto [begin, end, step] = bounds;
  if (step == 0) return fail("range() with a step of zero");
  constexpr size_t kLongest = 100'000;  // Jinja's sandbox has the same limit
  List list;
  list.kind = List::Kind::kRange;
  list.range = {begin, end, step};
  for (int64_t i = begin; (step > 0 ? i < end : i > end) && spend(4);) {
    list.items.emplace_back(i);
    if (list.items.size() > kLongest) return fail("range() makes more than 100000 numbers");
    if (__builtin_add_overflow(i, step, &i)) break;
  }
  return failed() ? Value() : Value(std::move(list));
}

Value Interpreter::make_namespace(const Arguments& arguments) {
  auto name_space = std::make_shared<Namespace>();
  if (!merge_into(name_space->attributes, arguments)) return Value();
  namespaces_.push_back(name_space);
  return Value(std::move(name_space));
}

// A function that gives nothing at its first call, and the separator from then on.
Value Interpreter::make_joiner(const Arguments& arguments) {
  if (!check_arguments(*this, "joiner", "sep", 0, arguments)) return Value();
  const Value* separator = arguments.get(0, "sep");
  auto state = std::make_shared<Namespace>();
  state->is_fixed = true;
  state->attributes.set(Value("sep"), separator == nullptr ? Value(", ") : *separator);
  state->attributes.set(Value("used"), Value(false));
  namespaces_.push_back(state);
  return method_of(Value(state), "joiner");
}

// An object whose next() goes through the values, again and again.
Value Interpreter::make_cycler(const Arguments& arguments) {
  if (arguments.positional.empty() || !arguments.named.empty())
    return fail("cycler() takes at least one value, without a name");
  auto state = std::make_shared<Namespace>();
  state->is_fixed = true;
  const Value object(state);
  state->attributes.set(Value("items"), Value::tuple(arguments.positional));
  state->attributes.set(Value("pos"), Value(int64_t{0}));
  state->attributes.set(Value("current"), arguments.positional.front());
  for (const char* name : {"next", "reset"}) state->attributes.set(Value(name), method_of(object, name));
  namespaces_.push_back(state);
  return object;
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
  return Value(Text(std::string(buffer, n), !format->is_said()));
}

}  // namespace lazyfill::jinja
