#include "tokenizer/jinja/parser.h"

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
    if (name == "filter") return parse_filter_block(stmt);
    if (name == "with") return parse_with(stmt);
    if (name == "generation") {  // marks what an assistant said, for training; renders as what it holds
      stmt.kind = Stmt::Kind::kScope;
      stmt.body = parse_last_block("endgeneration");
    } else if (name == "break" || name == "continue") {
      stmt.kind = name == "break" ? Stmt::Kind::kBreak : Stmt::Kind::kContinue;
      if (n_loops_ == 0) fail_here("'" + name + "' outside of a loop");
    } else {
      fail_here("the statement '" + utf8::printable(name) + "' is not supported");
    }
  }

  void parse_if(Stmt& stmt) {
    stmt.kind = Stmt::Kind::kIf;
    while (!error()) {
      Stmt::Branch branch;
      branch.test = parse_tuple(false);
      branch.body = parse_block({"elif", "else", "endif"});
      stmt.branches.push_back(std::move(branch));
      if (take_name("elif")) continue;
      if (take_name("else")) stmt.otherwise = parse_block({"endif"});
      advance();
      return;
    }
  }

  void parse_for(Stmt& stmt) {
    stmt.kind = Stmt::Kind::kFor;
    const bool in_brackets = take_operator("(");
    do {
      stmt.targets.push_back({expect_name(), ""});
    } while (take_operator(","));
    if (in_brackets) expect_operator(")");
    if (!take_name("in")) fail_here("expected 'in'");
    stmt.expr = parse_tuple(false);
    if (take_name("if")) stmt.test = parse_expression();
    if (current().is_name("recursive")) fail_here("recursive loops are not supported");
    ++n_loops_;
    stmt.body = parse_block({"else", "endfor"});
    --n_loops_;
    if (take_name("else")) stmt.otherwise = parse_block({"endfor"});
    advance();
  }

  void parse_set(Stmt& stmt) {
    const bool in_brackets = take_operator("(");
    do {
      Stmt::Target target{expect_name(), ""};
      if (take_operator(".")) target.attribute = expect_name();
      stmt.targets.push_back(std::move(target));
    } while (take_operator(","));
    if (in_brackets) expect_operator(")");
    if (take_operator("=")) {
      stmt.kind = Stmt::Kind::kSet;
      stmt.expr = parse_tuple();
      return;
    }
    stmt.kind = Stmt::Kind::kSetBlock;
    stmt.expr = parse_filters(nullptr);
    stmt.body = parse_last_block("endset");
  }

  void parse_macro(Stmt& stmt) {
    stmt.kind = Stmt::Kind::kMacro;
    stmt.text = expect_name();
    expect_operator("(");
    while (!current().is_operator(")") && !error()) {
      stmt.targets.push_back({expect_name(), ""});
      stmt.values.push_back(take_operator("=") ? parse_expression() : nullptr);
      if (!take_operator(",")) break;
    }
    expect_operator(")");
    const int n_loops = std::exchange(n_loops_, 0);
    stmt.body = parse_last_block("endmacro");
    n_loops_ = n_loops;
  }

  void parse_filter_block(Stmt& stmt) {
    stmt.kind = Stmt::Kind::kFilter;
    stmt.expr = parse_filters(parse_filter(nullptr));
    stmt.body = parse_last_block("endfilter");
  }

  void parse_with(Stmt& stmt) {
    stmt.kind = Stmt::Kind::kWith;
    while (current().type == Token::Type::kName) {
      stmt.targets.push_back({expect_name(), ""});
      expect_operator("=");
      stmt.values.push_back(parse_expression());
      if (!take_operator(",")) break;
    }
    stmt.body = parse_last_block("endwith");
  }

  int n_loops_ = 0;
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
