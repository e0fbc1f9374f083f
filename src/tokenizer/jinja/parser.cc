#include "tokenizer/jinja/parser.h"

#include <algorithm>

#include "tokenizer/jinja/expression_parser.h"
#include "tokenizer/utf8.h"

namespace lazyfill::jinja {
namespace {

class Parser : public ExpressionParser {
 public:
  using ExpressionParser::ExpressionParser;

  Body parse_template() {
    Body body = parse_body({});
    if (!error() && current().type != Token::Type::kEnd) fail_here("unexpected tag");
    return body;
  }

 private:
  using Names = std::initializer_list<std::string_view>;

  // Statements up to a block that begins with one of `ends`; the cursor stands on that name.
  Body parse_body(Names ends) {
    const Nesting nesting(*this);
    Body body;
    while (!error() && current().type != Token::Type::kEnd) {
      Stmt stmt;
      stmt.line = current().line;
      if (current().type == Token::Type::kText) {
        stmt.text = current().text;
        advance();
      } else if (current().type == Token::Type::kOutputBegin) {
        advance();
        stmt.kind = Stmt::Kind::kOutput;
        stmt.expr = parse_tuple();
        expect(Token::Type::kOutputEnd);
      } else {
        advance();  // a block begins
        for (const std::string_view end : ends) {
          if (current().is_name(end)) return body;
        }
        parse_statement(stmt);
        expect(Token::Type::kBlockEnd);
      }
      check_names(under_condition_);
      body.push_back(std::move(stmt));
    }
    if (ends.size() > 0)
      fail_here("expected '" + std::string(*(ends.end() - 1)) + "' before the end of the template");
    return body;
  }

  // The body of a block whose opening tag ends here, and the name that ends it.
  Body parse_block(Names ends) {
    expect(Token::Type::kBlockEnd);
    return parse_body(ends);
  }
  Body parse_last_block(std::string_view end) {
    Body body = parse_block({end});
    advance();
    return body;
  }

  void expect(Token::Type type) {
    if (current().type == type) return advance();
    fail_here(type == Token::Type::kOutputEnd ? "expected '}}'" : "expected '%}'");
  }

  void parse_statement(Stmt& stmt) {
    const std::string name = expect_name();
    if (name == "if") return parse_if(stmt);
    if (name == "for") return parse_for(stmt);
    if (name == "set") return parse_set(stmt);
    if (name == "macro") return parse_macro(stmt);
    if (name == "call") return parse_call(stmt);
    if (name == "filter") return parse_filter_block(stmt);
    if (name == "with") return parse_with(stmt);
    if (name == "generation") {  // marks what an assistant said, for training; renders as what it holds
      stmt.kind = Stmt::Kind::kScope;
      const Condition condition(*this, false);
      const int n_loops = std::exchange(n_loops_, 0);
      stmt.body = parse_last_block("endgeneration");
      n_loops_ = n_loops;
    } else if (name == "break" || name == "continue") {
      stmt.kind = name == "break" ? Stmt::Kind::kBreak : Stmt::Kind::kContinue;
      if (n_loops_ == 0) fail_here("'" + name + "' outside of a loop");
    } else {
      fail_here("the statement '" + utf8::printable(name) + "' is not supported");
    }
  }

  void parse_if(Stmt& stmt) {
    stmt.kind = Stmt::Kind::kIf;
    const Condition condition(*this, true);
    while (!error()) {
      Stmt::Branch branch;
      branch.test = parse_tuple(false);
      check_names(true);
      branch.body = parse_block({"elif", "else", "endif"});
      stmt.branches.push_back(std::move(branch));
      if (take_name("elif")) continue;
      if (take_name("else")) stmt.otherwise = parse_block({"endif"});
      advance();
      return;
    }
  }

  // a, b or (a, b) or a, (b, c); one that ends with a comma takes apart too.
  std::vector<Stmt::Target> parse_targets() {
    const Nesting nesting(*this);
    std::vector<Stmt::Target> targets;
    bool is_tuple = false;
    do {
      if (!targets.empty() && current().type != Token::Type::kName && !current().is_operator("(")) break;
      if (take_operator("(")) {
        targets.push_back({"", "", parse_targets()});
        expect_operator(")");
      } else {
        targets.push_back({expect_target(), "", {}});
      }
      is_tuple = is_tuple || current().is_operator(",");
    } while (take_operator(",") && !error());
    if (is_tuple && targets.size() == 1) targets = {{"", "", {std::move(targets.front()), {}}}};
    return targets;
  }

  std::string expect_target() {
    for (const std::string_view word : {"true", "false", "none", "True", "False", "None"}) {
      if (current().is_name(word)) fail_here("a constant cannot be set");
    }
    return expect_name();
  }

  void parse_for(Stmt& stmt) {
    stmt.kind = Stmt::Kind::kFor;
    stmt.targets = parse_targets();
    if (!take_name("in")) fail_here("expected 'in'");
    stmt.expr = parse_tuple(false);
    check_names(under_condition_);
    const Condition condition(*this, false);
    if (take_name("if")) stmt.test = parse_expression();
    check_names(false);
    if (current().is_name("recursive")) fail_here("recursive loops are not supported");
    ++n_loops_;
    stmt.body = parse_block({"else", "endfor"});
    --n_loops_;
    if (take_name("else")) stmt.otherwise = parse_block({"endfor"});
    advance();
  }

  void parse_set(Stmt& stmt) {
    if (next().is_operator(".")) {
      stmt.targets.push_back({expect_name(), "", {}});
      advance();
      stmt.targets.back().attribute = expect_name();
    } else {
      stmt.targets = parse_targets();
    }
    if (take_operator("=")) {
      stmt.kind = Stmt::Kind::kSet;
      stmt.expr = parse_tuple();
      return;
    }
    stmt.kind = Stmt::Kind::kSetBlock;
    stmt.expr = parse_filters(nullptr);
    const Condition condition(*this, false);
    stmt.body = parse_last_block("endset");
  }

  void parse_macro(Stmt& stmt) {
    stmt.kind = Stmt::Kind::kMacro;
    stmt.text = expect_target();
    const Condition condition(*this, false);
    parse_parameters(stmt);
    parse_macro_body(stmt, "endmacro");
  }

  void parse_parameters(Stmt& stmt) {
    expect_operator("(");
    while (!current().is_operator(")") && !error()) {
      stmt.targets.push_back({expect_target(), "", {}});
      for (size_t i = 0; i + 1 < stmt.targets.size(); ++i) {
        if (stmt.targets[i].name == stmt.targets.back().name) fail_here("a parameter is named twice");
      }
      const bool has_default = !stmt.values.empty() && stmt.values.back() != nullptr;
      stmt.values.push_back(take_operator("=") ? parse_expression() : nullptr);
      if (has_default && stmt.values.back() == nullptr)
        fail_here("a parameter without a default follows one that has it");
      if (!take_operator(",")) break;
    }
    expect_operator(")");
  }

  // {% call(parameters) macro(arguments) %}
  void parse_call(Stmt& stmt) {
    stmt.kind = Stmt::Kind::kCall;
    const Condition condition(*this, false);
    if (current().is_operator("(")) parse_parameters(stmt);
    stmt.text = "caller";
    stmt.expr = parse_expression();
    if (!error() && stmt.expr->kind != Expr::Kind::kCall) fail_here("expected a call");
    parse_macro_body(stmt, "endcall");
  }

  void parse_macro_body(Stmt& stmt, const char* end) {
    const int n_loops = std::exchange(n_loops_, 0);
    const int n_rest = n_rest_;
    const int n_named_rest = n_named_rest_;
    const int n_caller = n_caller_;
    stmt.body = parse_last_block(end);
    n_loops_ = n_loops;
    const auto is_parameter = [&stmt](std::string_view name) {
      return std::any_of(stmt.targets.begin(), stmt.targets.end(),
                         [name](const Stmt::Target& target) { return target.name == name; });
    };
    stmt.takes_rest = n_rest_ > n_rest && !is_parameter("varargs");
    stmt.takes_caller = n_caller_ > n_caller && !is_parameter("caller");
    stmt.takes_named_rest = n_named_rest_ > n_named_rest && !is_parameter("kwargs");
  }

  void parse_filter_block(Stmt& stmt) {
    stmt.kind = Stmt::Kind::kFilter;
    const Condition condition(*this, false);
    stmt.expr = parse_filters(parse_filter(nullptr));
    stmt.body = parse_last_block("endfilter");
  }

  void parse_with(Stmt& stmt) {
    stmt.kind = Stmt::Kind::kWith;
    while (current().type == Token::Type::kName || current().is_operator("(")) {
      if (take_operator("(")) {
        stmt.targets.push_back({"", "", parse_targets()});
        expect_operator(")");
      } else {
        stmt.targets.push_back({expect_target(), "", {}});
      }
      expect_operator("=");
      stmt.values.push_back(parse_expression());
      if (!take_operator(",")) break;
    }
    check_names(under_condition_);
    const Condition condition(*this, false);
    stmt.body = parse_last_block("endwith");
  }

  // Whether what is parsed now stands right under a condition.
  struct Condition {
    Condition(Parser& parser, bool value)
        : parser_(parser), before_(std::exchange(parser.under_condition_, value)) {}
    ~Condition() { parser_.under_condition_ = before_; }
    Condition(const Condition&) = delete;
    Condition& operator=(const Condition&) = delete;
    Parser& parser_;
    bool before_;
  };

  int n_loops_ = 0;
  bool under_condition_ = false;
};

}  // namespace

Result<Body> parse(std::string_view source) {
  auto tokens = tokenize(source);
  if (!tokens) return tl::unexpected(tokens.error());
  Parser parser(std::move(*tokens));
  Body body = parser.parse_template();
  if (parser.error()) return tl::unexpected(*parser.error());
  return body;
}

}  // namespace lazyfill::jinja
