// The part of the parser that reads expressions, with Jinja's precedence: conditional, or, and, not,
// comparison,
// + -, ~, * / // %, **, unary signs, then attributes, items, calls, filters and tests.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lazyfill/error.h"
#include "tokenizer/jinja/ast.h"
#include "tokenizer/jinja/lexer.h"

namespace lazyfill::jinja {

// Errors are sticky: after the first one every function returns at once with what it has, and the cursor
// stands on the end. A null expression is only returned together with an error.
class ExpressionParser {
 public:
  explicit ExpressionParser(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  const std::optional<Error>& error() const { return error_; }

 protected:
  const Token& current() const { return tokens_[position_]; }
  const Token& next() const { return tokens_[std::min(position_ + 1, tokens_.size() - 1)]; }
  void advance() {
    if (position_ + 1 < tokens_.size()) ++position_;
  }
  bool take_operator(std::string_view wanted);
  bool take_name(std::string_view wanted);
  void expect_operator(std::string_view wanted);
  std::string expect_name();
  std::string expect_dotted_name();  // of a filter or a test
  void fail_here(const std::string& what);

  // An expression, or several with commas between them, which make a tuple.
  ExprPtr parse_tuple(bool with_conditional = true);
  ExprPtr parse_expression(bool with_conditional = true);
  // `| name(...)` chains; `input` may be null for a block that is filtered.
  ExprPtr parse_filters(ExprPtr input);
  ExprPtr parse_filter(ExprPtr input);  // name(...), without the bar

  // Filters and tests that are not known fail the template at once, as in Jinja, but for those that stand
  // right under a condition: they may never run.
  void check_names(bool may_be_unknown);

  // How often these names were read: what a macro takes beside its parameters depends on its body.
  int n_rest_ = 0;        // varargs
  int n_named_rest_ = 0;  // kwargs
  int n_caller_ = 0;

  // Recursion of the parser itself.
  struct Nesting {
    explicit Nesting(ExpressionParser& parser) : parser_(parser) {
      if (++parser_.nesting_ > kMaxDepth) parser_.fail_here("it is nested too deeply");
    }
    ~Nesting() { --parser_.nesting_; }
    Nesting(const Nesting&) = delete;
    Nesting& operator=(const Nesting&) = delete;
    ExpressionParser& parser_;
  };

 private:
  static constexpr int kMaxDepth = 100;

  ExprPtr make(Expr::Kind kind, std::vector<ExprPtr> args = {}, std::string name = {});
  ExprPtr parse_or();
  ExprPtr parse_and();
  ExprPtr parse_not();
  ExprPtr parse_compare();
  ExprPtr parse_sum();
  ExprPtr parse_concat();
  ExprPtr parse_product();
  ExprPtr parse_power();
  ExprPtr parse_unary(bool with_filters);
  ExprPtr parse_primary();
  ExprPtr parse_name();
  ExprPtr parse_number();
  ExprPtr parse_brackets();
  ExprPtr parse_postfix(ExprPtr expr);
  ExprPtr parse_postfix_and_filters(ExprPtr expr);
  ExprPtr parse_subscript(ExprPtr object);
  ExprPtr parse_test(ExprPtr input);
  void parse_arguments(Expr& call);
  bool at_tuple_end() const;
  void update_depth(Expr& expr);
  template <class Operand>
  ExprPtr parse_binary(std::initializer_list<std::string_view> operators, Operand operand);

  std::vector<Token> tokens_;
  size_t position_ = 0;
  int nesting_ = 0;
  std::vector<std::string> unknown_;  // sentences about names since the last check_names()
  std::optional<Error> error_;
};

}  // namespace lazyfill::jinja
