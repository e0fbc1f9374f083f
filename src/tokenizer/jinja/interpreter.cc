#include "tokenizer/jinja/interpreter.h"

#include <algorithm>

#include "tokenizer/utf8.h"

namespace lazyfill::jinja {

const Value* Arguments::get(size_t index, std::string_view name) const {
  if (index < positional.size()) return &positional[index];
  for (const auto& argument : named) {
    if (argument.first == name) return &argument.second;
  }
  return nullptr;
}

Interpreter::~Interpreter() {
  for (const auto& name_space : namespaces_) name_space->attributes.items.clear();
}

Result<Text> Interpreter::render(const Body& body) {
  Text out = render_inner(body);
  if (error_) return tl::unexpected(*error_);
  return out;
}

Value Interpreter::fail(const std::string& message) {
  if (!error_) {
    error_ =
        Error{ErrorCode::kInvalidArgument, "chat template, line " + std::to_string(line_) + ": " + message};
  }
  return Value();
}

bool Interpreter::spend(size_t n_steps) {
  if (n_steps > limits_.max_steps - steps_used_) {
    steps_used_ = limits_.max_steps;
    fail("it takes too many steps");
  } else {
    steps_used_ += n_steps;
  }
  return !failed();
}

Value Interpreter::make(BoundedText text) {
  Text made = counted(std::move(text));
  return failed() ? Value() : Value(std::move(made));
}

Text Interpreter::counted(BoundedText text) {
  if (text.overflow()) fail("it makes too much text");
  Text made = text.take();
  bytes_used_ += std::min(made.n_bytes(), limits_.max_bytes - bytes_used_);
  return made;
}

Text Interpreter::str(const Value& value) {
  BoundedText out = text();
  append_str(value, out);
  return counted(std::move(out));
}

std::vector<Value> Interpreter::items_of(const Value& value) {
  std::vector<Value> items;
  if (const List* list = value.list()) {
    if (!spend(4 * list->items.size())) return items;
    items.assign(list->items.begin() + static_cast<std::ptrdiff_t>(list->n_taken), list->items.end());
    if (list->is_iterator()) list->n_taken = list->items.size();
  } else if (const Dict* dict = value.dict()) {
    if (!spend(4 * dict->items.size())) return items;
    for (const auto& item : dict->items) items.push_back(item.first);
  } else if (const std::string* text = value.text()) {
    if (!spend(8 * text->size())) return items;
    for (size_t position = 0; position < text->size();) {
      const size_t n_bytes = std::max<size_t>(1, utf8::decode(*text, position).n_bytes);
      items.emplace_back(TextView(*value.marked_text()).substr(position, n_bytes));
      position += n_bytes;
    }
  } else if (!value.is_undefined()) {
    fail("a value of type " + std::string(value.type_name()) + " cannot be iterated");
  }
  return items;
}

// A body whose output becomes a text instead of going out.
Text Interpreter::render_inner(const Body& body) {
  BoundedText inner = text();
  BoundedText* outer = std::exchange(output_, &inner);
  run(body);
  output_ = outer;
  return counted(std::move(inner));
}

Interpreter::Flow Interpreter::run(const Body& body) {
  for (const Stmt& stmt : body) {
    const Flow flow = run(stmt);
    if (failed() || flow != Flow::kNext) return flow;
  }
  return Flow::kNext;
}

Interpreter::Flow Interpreter::run(const Stmt& stmt) {
  line_ = stmt.line;
  if (!spend(1)) return Flow::kBreak;
  if (depth_ >= limits_.max_depth) {
    fail("it is nested too deeply");
    return Flow::kBreak;
  }
  ++depth_;
  Flow flow = Flow::kNext;
  switch (stmt.kind) {
    case Stmt::Kind::kText:
      output_->append(TextView::of_template(stmt.text));
      break;
    case Stmt::Kind::kOutput:
      append_str(eval(*stmt.expr), *output_);
      break;
    case Stmt::Kind::kFor:
      run_for(stmt);
      break;
    case Stmt::Kind::kIf:
      flow = run_if(stmt);
      break;
    case Stmt::Kind::kSet:
      assign(stmt.targets, eval(*stmt.expr));
      break;
    case Stmt::Kind::kMacro:
      assign({stmt.text, "", {}}, define_macro(stmt));
      break;
    case Stmt::Kind::kCall:
      run_call(stmt);
      break;
    case Stmt::Kind::kSetBlock:
    case Stmt::Kind::kFilter: {
      frames_.emplace_back();
      Value text(render_inner(stmt.body));
      frames_.pop_back();
      if (stmt.expr) text = eval_filter(*stmt.expr, &text);
      if (failed()) break;
      if (stmt.kind == Stmt::Kind::kSetBlock) {
        assign(stmt.targets, text);
      } else {
        append_str(text, *output_);
      }
      break;
    }
    case Stmt::Kind::kWith: {
      std::vector<Value> values;
      for (const ExprPtr& value : stmt.values) values.push_back(eval(*value));
      frames_.emplace_back();
      for (size_t i = 0; i < values.size(); ++i) assign(stmt.targets[i], values[i]);
      flow = run(stmt.body);
      frames_.pop_back();
      break;
    }
    case Stmt::Kind::kScope:
      frames_.emplace_back();
      flow = run(stmt.body);
      frames_.pop_back();
      break;
    case Stmt::Kind::kBreak:
      flow = Flow::kBreak;
      break;
    case Stmt::Kind::kContinue:
      flow = Flow::kContinue;
      break;
  }
  --depth_;
  if (output_->overflow()) fail("it makes too much text");
  return flow;
}

Interpreter::Flow Interpreter::run_if(const Stmt& stmt) {
  for (const Stmt::Branch& branch : stmt.branches) {
    const bool taken = eval(*branch.test).truthy();
    if (failed()) return Flow::kBreak;
    if (taken) return run(branch.body);
  }
  return run(stmt.otherwise);
}

void Interpreter::run_for(const Stmt& stmt) {
  std::vector<Value> items = items_of(eval(*stmt.expr));
  if (stmt.test && !failed()) {
    std::vector<Value> kept;
    for (const Value& item : items) {
      frames_.emplace_back();
      assign(stmt.targets, item);
      const bool keep = !failed() && eval(*stmt.test).truthy();
      frames_.pop_back();
      if (failed()) return;
      if (keep) kept.push_back(item);
    }
    items = std::move(kept);
  }
  if (failed()) return;
  auto loop = std::make_shared<Namespace>();  // one object for the whole loop, as in Jinja
  loop->is_loop = true;
  namespaces_.push_back(loop);
  const Value loop_value(loop);
  bool any_to_its_end = false;
  for (size_t i = 0; i < items.size() && !failed(); ++i) {
    const Flow flow = run_iteration(stmt, items, i, loop_value);
    any_to_its_end = any_to_its_end || flow == Flow::kNext;
    if (flow == Flow::kBreak) break;
  }
  // As Jinja has it: "else" runs when no iteration came to its end, also where all were left by continue or
  // break.
  if (any_to_its_end || failed()) return;
  frames_.emplace_back();
  run(stmt.otherwise);
  frames_.pop_back();
}

Interpreter::Flow Interpreter::run_iteration(const Stmt& stmt, const std::vector<Value>& items, size_t index,
                                             const Value& loop) {
  const auto i = static_cast<int64_t>(index);
  const auto n = static_cast<int64_t>(items.size());
  Function cycle;
  cycle.kind = Function::Kind::kMethod;
  cycle.name = "cycle";
  cycle.self = Value(i);
  Function changed;
  changed.kind = Function::Kind::kMethod;
  changed.name = "changed";
  changed.self = loop;
  loop.name_space()->attributes.items = {
      {Value("index"), Value(i + 1)},
      {Value("index0"), Value(i)},
      {Value("revindex"), Value(n - i)},
      {Value("revindex0"), Value(n - i - 1)},
      {Value("first"), Value(i == 0)},
      {Value("last"), Value(i + 1 == n)},
      {Value("length"), Value(n)},
      {Value("previtem"), index > 0 ? items[index - 1] : Value()},
      {Value("nextitem"), index + 1 < items.size() ? items[index + 1] : Value()},
      {Value("cycle"), Value(std::make_shared<const Function>(std::move(cycle)))},
      {Value("changed"), Value(std::make_shared<const Function>(std::move(changed)))},
      {Value("depth"), Value(int64_t{1})},
      {Value("depth0"), Value(int64_t{0})},
  };
  frames_.emplace_back();
  frames_.back().insert_or_assign("loop", loop);
  assign(stmt.targets, items[index]);
  const Flow flow = failed() ? Flow::kBreak : run(stmt.body);
  frames_.pop_back();
  return flow;
}

void Interpreter::assign(const std::vector<Stmt::Target>& targets, const Value& value) {
  if (failed()) return;
  if (targets.size() == 1) return assign(targets.front(), value);
  const std::vector<Value> items = items_of(value);
  if (!failed() && value.is_undefined()) fail("an undefined value cannot be taken apart");
  if (!failed() && items.size() != targets.size()) {
    fail(std::to_string(items.size()) + " values cannot be taken apart into " +
         std::to_string(targets.size()) + " names");
  }
  for (size_t i = 0; i < targets.size() && !failed(); ++i) assign(targets[i], items[i]);
}

void Interpreter::assign(const Stmt::Target& target, Value value) {
  if (failed()) return;
  if (!target.parts.empty()) return assign(target.parts, value);
  const Extent extent = value.extent();
  if (extent.depth > 64 || extent.weight > limits_.max_steps) {
    fail("a value is too large");
    return;
  }
  if (target.attribute.empty()) {
    frames_.back().insert_or_assign(target.name, std::move(value));
    return;
  }
  Namespace* name_space = eval_name(target.name).name_space();
  if (name_space == nullptr || name_space->is_loop || name_space->is_fixed) {
    fail(quoted(target.name) + " is not a namespace");
    return;
  }
  if (spend(name_space->attributes.items.size()))
    name_space->attributes.set(Value(target.attribute), std::move(value));
}

}  // namespace lazyfill::jinja
