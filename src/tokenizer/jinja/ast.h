// A parsed template. One struct for all expressions and one for all statements: the interpreter switches on
// the kind.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tokenizer/jinja/value.h"

namespace lazyfill::jinja {

struct Expr;
using ExprPtr = std::unique_ptr<Expr>;

struct Expr {
  enum class Kind {
    kConstant,   // constant
    kName,       // name
    kList,       // args
    kTuple,      // args
    kDict,       // args: key, value, key, value...
    kAttribute,  // args[0].name
    kItem,       // args[0][args[1]]
    kSlice,      // args[0][args[1]:args[2]:args[3]]; any of the three may be null
    kCall,       // args[0](args[1]..., named)
    kFilter,     // args[0] | name(args[1]..., named); args[0] is null in a filter block
    kTest,       // args[0] is name(args[1]..., named)
    kNot,        // args[0], as the next two
    kNegate,
    kPlus,
    kBinary,  // args[0] name args[1]; name is the operator
    kAnd,
    kOr,
    kConcat,       // args joined as text
    kCompare,      // args[0] operators[0] args[1] operators[1] ...
    kConditional,  // args[0] if args[1] else args[2]; args[2] may be null
  };
  Kind kind = Kind::kConstant;
  size_t line = 1;
  std::string name;
  Value constant;
  std::vector<ExprPtr> args;
  std::vector<std::pair<std::string, ExprPtr>> named;
  ExprPtr rest;        // of a call: f(*rest, **named_rest)
  ExprPtr named_rest;  // both may be null
  std::vector<std::string> operators;
  int depth = 1;  // of the tree below; the parser bounds it, since destruction and evaluation recurse
};

struct Stmt;
using Body = std::vector<Stmt>;

struct Stmt {
  enum class Kind {
    kText,      // text
    kOutput,    // expr
    kFor,       // for target in expr (if test): body; otherwise
    kIf,        // branches; otherwise
    kSet,       // target = expr
    kSetBlock,  // target = body, through the filter expr (may be null)
    kMacro,     // text(target names = defaults): body
    kCall,      // expr, a call, with caller(target names = defaults): body
    kFilter,    // body through the filter expr
    kWith,      // target = expr pairs in branches' place: targets, values; body
    kScope,     // body
    kBreak,
    kContinue,
  };
  struct Target {
    std::string name;
    std::string attribute;      // of a namespace; empty for a plain name
    std::vector<Target> parts;  // (a, b) instead of a name
  };
  struct Branch {
    ExprPtr test;
    Body body;
  };
  Kind kind = Kind::kText;
  size_t line = 1;
  std::string text;
  std::vector<Target> targets;
  ExprPtr expr;
  ExprPtr test;
  std::vector<ExprPtr>
      values;  // kMacro: a default a parameter, null where it has none; kWith: a value a target
  std::vector<Branch> branches;
  Body body;
  Body otherwise;
  bool takes_rest = false;        // of a macro: its body asks for varargs
  bool takes_named_rest = false;  // for kwargs
  bool takes_caller = false;
};

}  // namespace lazyfill::jinja
