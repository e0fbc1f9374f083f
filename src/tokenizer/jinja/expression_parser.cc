#include "tokenizer/jinja/expression_parser.h"

#include <algorithm>
#include <charconv>

#include "tokenizer/jinja/filters.h"
#include "tokenizer/jinja/formatting.h"

namespace lazyfill::jinja {
namespace {

template <class... Args>
std::vector<ExprPtr> list_of(Args... args) {
  std::vector<ExprPtr> list;
  (list.push_back(std::move(args)), ...);
  return list;
}

bool is_one_of(const Token& token, std::initializer_list<std::string_view> operators) {
  return token.type == Token::Type::kOperator &&
         std::find(operators.begin(), operators.end(), token.text) != operators.end();
}

}  // namespace

bool ExpressionParser::take_operator(std::string_view wanted) {
  if (!current().is_operator(wanted)) return false;
  advance();
  return true;
}

bool ExpressionParser::take_name(std::string_view wanted) {
  if (!current().is_name(wanted)) return false;
  advance();
  return true;
}

void ExpressionParser::expect_operator(std::string_view wanted) {
  if (!take_operator(wanted)) fail_here("expected '" + std::string(wanted) + "'");
}

std::string ExpressionParser::expect_name() {
  if (current().type != Token::Type::kName) {
    fail_here("expected a name");
    return {};
  }
  std::string name = current().text;
  advance();
  return name;
}

std::string ExpressionParser::expect_dotted_name() {
  std::string name = expect_name();
  while (take_operator(".")) {
    name += '.';
    name += expect_name();
  }
  return name;
}

void ExpressionParser::fail_here(const std::string& what) {
  if (!error_) {
    error_ =
        Error{ErrorCode::kUnsupported, "chat template, line " + std::to_string(current().line) + ": " + what};
  }
  position_ = tokens_.size() - 1;  // every loop ends at the end of the tokens
}

void ExpressionParser::check_names(bool may_be_unknown) {
  if (!unknown_.empty() && !may_be_unknown) fail_here(unknown_.front());
  unknown_.clear();
}

ExprPtr ExpressionParser::make(Expr::Kind kind, std::vector<ExprPtr> args, std::string name) {
  auto expr = std::make_unique<Expr>();
  expr->kind = kind;
  expr->line = current().line;
  expr->args = std::move(args);
  expr->name = std::move(name);
  update_depth(*expr);
  return expr;
}

void ExpressionParser::update_depth(Expr& expr) {
  for (const ExprPtr& arg : expr.args) expr.depth = std::max(expr.depth, arg ? arg->depth + 1 : 1);
  for (const auto& arg : expr.named)
    expr.depth = std::max(expr.depth, arg.second ? arg.second->depth + 1 : 1);
  for (const ExprPtr* arg : {&expr.rest, &expr.named_rest}) {
    if (*arg) expr.depth = std::max(expr.depth, (*arg)->depth + 1);
  }
  if (expr.depth > kMaxDepth) fail_here("an expression has too many parts");
}

bool ExpressionParser::at_tuple_end() const {
  const Token& token = current();
  return token.type == Token::Type::kOutputEnd || token.type == Token::Type::kBlockEnd ||
         token.type == Token::Type::kEnd || token.is_operator(")") || token.is_name("recursive");
}

ExprPtr ExpressionParser::parse_tuple(bool with_conditional) {
  std::vector<ExprPtr> items;
  items.push_back(parse_expression(with_conditional));
  bool is_tuple = false;
  while (take_operator(",")) {
    is_tuple = true;
    if (at_tuple_end()) break;
    items.push_back(parse_expression(with_conditional));
  }
  return is_tuple ? make(Expr::Kind::kTuple, std::move(items)) : std::move(items.front());
}

ExprPtr ExpressionParser::parse_expression(bool with_conditional) {
  const Nesting nesting(*this);
  const size_t n_unknown = unknown_.size();
  ExprPtr expr = parse_or();
  while (with_conditional && take_name("if")) {
    ExprPtr test = parse_or();
    ExprPtr otherwise = take_name("else") ? parse_expression() : nullptr;
    expr = make(Expr::Kind::kConditional, list_of(std::move(expr), std::move(test), std::move(otherwise)));
    unknown_.resize(std::min(unknown_.size(), n_unknown));
  }
  return expr;
}

ExprPtr ExpressionParser::parse_or() {
  ExprPtr left = parse_and();
  while (take_name("or")) left = make(Expr::Kind::kOr, list_of(std::move(left), parse_and()));
  return left;
}

ExprPtr ExpressionParser::parse_and() {
  ExprPtr left = parse_not();
  while (take_name("and")) left = make(Expr::Kind::kAnd, list_of(std::move(left), parse_not()));
  return left;
}

ExprPtr ExpressionParser::parse_not() {
  const Nesting nesting(*this);
  if (take_name("not")) return make(Expr::Kind::kNot, list_of(parse_not()));
  return parse_compare();
}

ExprPtr ExpressionParser::parse_compare() {
  std::vector<ExprPtr> args = list_of(parse_sum());
  std::vector<std::string> operators;
  while (true) {
    if (is_one_of(current(), {"==", "!=", "<", "<=", ">", ">="})) {
      operators.push_back(current().text);
      advance();
    } else if (take_name("in")) {
      operators.emplace_back("in");
    } else if (current().is_name("not") && next().is_name("in")) {
      advance();
      advance();
      operators.emplace_back("not in");
    } else {
      break;
    }
    args.push_back(parse_sum());
  }
  if (operators.empty()) return std::move(args.front());
  ExprPtr compare = make(Expr::Kind::kCompare, std::move(args));
  compare->operators = std::move(operators);
  return compare;
}

template <class Operand>
ExprPtr ExpressionParser::parse_binary(std::initializer_list<std::string_view> operators, Operand operand) {
  ExprPtr left = operand();
  while (is_one_of(current(), operators)) {
    std::string name = current().text;
    advance();
    left = make(Expr::Kind::kBinary, list_of(std::move(left), operand()), std::move(name));
  }
  return left;
}

ExprPtr ExpressionParser::parse_sum() {
  return parse_binary({"+", "-"}, [this] { return parse_concat(); });
}

ExprPtr ExpressionParser::parse_concat() {
  std::vector<ExprPtr> args = list_of(parse_product());
  while (take_operator("~")) args.push_back(parse_product());
  return args.size() == 1 ? std::move(args.front()) : make(Expr::Kind::kConcat, std::move(args));
}

ExprPtr ExpressionParser::parse_product() {
  return parse_binary({"*", "/", "//", "%"}, [this] { return parse_power(); });
}

ExprPtr ExpressionParser::parse_power() {
  return parse_binary({"**"}, [this] { return parse_unary(true); });
}

ExprPtr ExpressionParser::parse_unary(bool with_filters) {
  const Nesting nesting(*this);
  ExprPtr expr;
  if (take_operator("-")) {
    expr = make(Expr::Kind::kNegate, list_of(parse_unary(false)));
  } else if (take_operator("+")) {
    expr = make(Expr::Kind::kPlus, list_of(parse_unary(false)));
  } else {
    expr = parse_primary();
  }
  expr = parse_postfix(std::move(expr));
  return with_filters ? parse_postfix_and_filters(std::move(expr)) : std::move(expr);
}

ExprPtr ExpressionParser::parse_primary() {
  switch (current().type) {
    case Token::Type::kName:
      return parse_name();
    case Token::Type::kInteger:
    case Token::Type::kFloat:
      return parse_number();
    case Token::Type::kString: {
      std::string text;
      for (; current().type == Token::Type::kString; advance()) text += current().text;
      ExprPtr expr = make(Expr::Kind::kConstant);
      expr->constant = Value::of_template(std::move(text));
      return expr;
    }
    default:
      return parse_brackets();
  }
}

ExprPtr ExpressionParser::parse_name() {
  const std::string name = expect_name();
  ExprPtr expr = make(Expr::Kind::kConstant);
  if (name == "true" || name == "True") {
    expr->constant = Value(true);
  } else if (name == "false" || name == "False") {
    expr->constant = Value(false);
  } else if (name == "none" || name == "None") {
    expr->constant = Value(None{});
  } else {
    expr->kind = Expr::Kind::kName;
    expr->name = name;
    if (name == "varargs") ++n_rest_;
    if (name == "kwargs") ++n_named_rest_;
    if (name == "caller") ++n_caller_;
  }
  return expr;
}

ExprPtr ExpressionParser::parse_number() {
  const Token token = current();
  ExprPtr expr = make(Expr::Kind::kConstant);
  const char* end = token.text.data() + token.text.size();
  int64_t integer = 0;
  double number = 0;
  const bool is_integer = token.type == Token::Type::kInteger;
  if (is_integer) {
    const auto value = read_integer(token.text, 0).value;
    if (!value) fail_here("a number is out of range");
    integer = value.value_or(0);
  } else if (const auto read = std::from_chars(token.text.data(), end, number);
             read.ec == std::errc::result_out_of_range) {
    number = read_float(token.text).value_or(0);  // infinity, or nothing
  }
  expr->constant = is_integer ? Value(integer) : Value(number);
  advance();
  return expr;
}

// ( ), [ ] and { }
ExprPtr ExpressionParser::parse_brackets() {
  if (take_operator("(")) {
    ExprPtr inner = current().is_operator(")") ? make(Expr::Kind::kTuple) : parse_tuple();
    expect_operator(")");
    return inner;
  }
  std::vector<ExprPtr> items;
  if (take_operator("[")) {
    while (!current().is_operator("]") && !error_) {
      items.push_back(parse_expression());
      if (!take_operator(",")) break;
    }
    expect_operator("]");
    return make(Expr::Kind::kList, std::move(items));
  }
  if (take_operator("{")) {
    while (!current().is_operator("}") && !error_) {
      items.push_back(parse_expression());
      expect_operator(":");
      items.push_back(parse_expression());
      if (!take_operator(",")) break;
    }
    expect_operator("}");
    return make(Expr::Kind::kDict, std::move(items));
  }
  fail_here("expected an expression");
  return make(Expr::Kind::kConstant);
}

ExprPtr ExpressionParser::parse_postfix(ExprPtr expr) {
  while (true) {
    if (take_operator(".")) {
      if (current().type == Token::Type::kInteger) {
        ExprPtr index = parse_number();
        expr = make(Expr::Kind::kItem, list_of(std::move(expr), std::move(index)));
      } else {
        std::string name = expect_name();
        expr = make(Expr::Kind::kAttribute, list_of(std::move(expr)), std::move(name));
      }
    } else if (take_operator("[")) {
      expr = parse_subscript(std::move(expr));
    } else if (current().is_operator("(")) {
      expr = make(Expr::Kind::kCall, list_of(std::move(expr)));
      parse_arguments(*expr);
    } else {
      return expr;
    }
  }
}

ExprPtr ExpressionParser::parse_postfix_and_filters(ExprPtr expr) {
  while (true) {
    if (current().is_operator("|")) {
      expr = parse_filters(std::move(expr));
    } else if (take_name("is")) {
      expr = parse_test(std::move(expr));
    } else if (current().is_operator("(")) {
      expr = make(Expr::Kind::kCall, list_of(std::move(expr)));
      parse_arguments(*expr);
    } else {
      return expr;
    }
  }
}

ExprPtr ExpressionParser::parse_subscript(ExprPtr object) {
  ExprPtr bounds[3];
  size_t n_colons = 0;
  while (n_colons < 3 && !current().is_operator("]") && !error_) {
    if (take_operator(":")) {
      ++n_colons;
    } else if (bounds[n_colons]) {
      break;
    } else {
      bounds[n_colons] = parse_expression();
    }
  }
  if (n_colons > 2 || (n_colons == 0 && !bounds[0])) fail_here("expected a subscript");
  expect_operator("]");
  if (n_colons == 0) return make(Expr::Kind::kItem, list_of(std::move(object), std::move(bounds[0])));
  return make(Expr::Kind::kSlice,
              list_of(std::move(object), std::move(bounds[0]), std::move(bounds[1]), std::move(bounds[2])));
}

void ExpressionParser::parse_arguments(Expr& call) {
  expect_operator("(");
  while (!current().is_operator(")") && !error_) {
    const bool is_rest = current().is_operator("*");
    if (is_rest || current().is_operator("**")) {
      if (call.named_rest || (is_rest && call.rest)) fail_here("arguments are unpacked twice");
      advance();
      (is_rest ? call.rest : call.named_rest) = parse_expression();
    } else if (current().type == Token::Type::kName && next().is_operator("=")) {
      std::string name = expect_name();
      advance();
      const auto is_it = [&name](const auto& other) { return other.first == name; };
      if (std::any_of(call.named.begin(), call.named.end(), is_it)) fail_here("an argument is given twice");
      if (call.named_rest) fail_here("an argument follows unpacked ones");
      call.named.emplace_back(std::move(name), parse_expression());
    } else {
      if (call.rest || call.named_rest) fail_here("an argument follows unpacked ones");
      if (!call.named.empty()) fail_here("a positional argument follows a named one");
      call.args.push_back(parse_expression());
    }
    if (!take_operator(",")) break;
  }
  expect_operator(")");
  update_depth(call);
}

ExprPtr ExpressionParser::parse_filter(ExprPtr input) {
  std::string name = expect_dotted_name();
  if (find_filter(name) == nullptr) unknown_.push_back("the filter " + quoted(name) + " is not supported");
  ExprPtr filter = make(Expr::Kind::kFilter, list_of(std::move(input)), std::move(name));
  if (current().is_operator("(")) parse_arguments(*filter);
  return filter;
}

ExprPtr ExpressionParser::parse_filters(ExprPtr input) {
  while (take_operator("|")) input = parse_filter(std::move(input));
  return input;
}

ExprPtr ExpressionParser::parse_test(ExprPtr input) {
  const bool negated = take_name("not");
  std::string name = expect_dotted_name();
  if (find_test(name) == nullptr) unknown_.push_back("the test " + quoted(name) + " is not supported");
  ExprPtr test = make(Expr::Kind::kTest, list_of(std::move(input)), std::move(name));
  const Token& token = current();
  if (token.is_operator("(")) {
    parse_arguments(*test);
  } else if (token.is_name("is")) {
    fail_here("tests cannot be chained with 'is'");
  } else if ((token.type == Token::Type::kName && !token.is_name("else") && !token.is_name("or") &&
              !token.is_name("and")) ||
             token.type == Token::Type::kString || token.type == Token::Type::kInteger ||
             token.type == Token::Type::kFloat || token.is_operator("[") || token.is_operator("{")) {
    test->args.push_back(parse_postfix(parse_primary()));
    update_depth(*test);
  }
  return negated ? make(Expr::Kind::kNot, list_of(std::move(test))) : std::move(test);
}

}  // namespace lazyfill::jinja
