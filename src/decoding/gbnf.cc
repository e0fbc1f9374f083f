#include "decoding/gbnf.h"

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "base/quoted.h"
#include "decoding/charset.h"
#include "decoding/json_schema.h"
#include "tokenizer/utf8.h"

namespace lazyfill {
namespace {

constexpr size_t kMaxGrammarBytes = 256 * 1024;
constexpr size_t kMaxRules = 4000;
constexpr size_t kMaxGroups = 200;      // inside of one another
constexpr uint32_t kMaxCount = 10'000;  // in {n,m}

class Parser {
 public:
  Parser(Terms& terms, std::string_view grammar, const TokenTexts& token_texts)
      : terms_(terms), text_(grammar), token_texts_(token_texts) {}

  Result<Grammar> parse() {
    for (skip(true); at_ < text_.size(); skip(true)) {
      if (auto read = rule(); !read) return tl::unexpected(read.error());
    }
    for (const auto& [name, rule] : rules_) {
      if (!rule.is_defined)
        return fail(ErrorCode::kInvalidArgument, "the grammar cannot be used, line " +
                                                     std::to_string(rule.line) + ": there is no rule " +
                                                     quoted(name));
    }
    const auto root = rules_.find("root");
    if (root == rules_.end())
      return fail(ErrorCode::kInvalidArgument, "the grammar has no rule \"root\", with which it must begin");
    if (terms_.overflowed())
      return fail(ErrorCode::kInvalidArgument, "the grammar is too large; make it or its counts smaller");
    terms_.close();
    if (const Term term = terms_.left_recursive_rule(); term != kNothing) {
      if (name_of(term).empty())
        return fail(ErrorCode::kInvalidArgument,
                    "the grammar cannot be used: a schema's references lead round in a circle");
      return about(
          term,
          "begins with itself (left recursion); write what repeats with * or behind what it begins with");
    }
    for (const auto& [name, rule] : rules_) {
      if (terms_.bound(rule.term) == kUnbounded)
        return about(rule.term,
                     "never ends, because every way through it comes back to it or to one that never ends");
    }
    made_.start = root->second.term;
    return std::move(made_);
  }

 private:
  struct Rule {
    Term term = kNothing;
    bool is_defined = false;
    size_t line = 0;  // where it is first named
  };

  // Empty: it is a rule of a schema.
  std::string name_of(Term term) const {
    const auto found = std::find_if(rules_.begin(), rules_.end(),
                                    [term](const auto& one) { return one.second.term == term; });
    return found == rules_.end() ? "" : found->first;
  }
  tl::unexpected<Error> about(Term term, const std::string& what) const {
    return fail(ErrorCode::kInvalidArgument,
                "the grammar cannot be used: the rule " + quoted(name_of(term)) + " " + what);
  }
  size_t line() const {
    return 1 +
           static_cast<size_t>(std::count(text_.begin(), text_.begin() + static_cast<ptrdiff_t>(at_), '\n'));
  }
  tl::unexpected<Error> wrong(const std::string& what) const {
    return fail(ErrorCode::kInvalidArgument,
                "the grammar cannot be used, line " + std::to_string(line()) + ": " + what);
  }
  bool at(char c) const { return at_ < text_.size() && text_[at_] == c; }
  bool take(std::string_view what) {
    if (!text_.substr(at_).starts_with(what)) return false;
    at_ += what.size();
    return true;
  }
  // Spaces and comments; line ends only where the rule goes on.
  void skip(bool over_lines) {
    for (; at_ < text_.size(); ++at_) {
      const char c = text_[at_];
      if (c == '#') {
        at_ = std::min(text_.find('\n', at_), text_.size());
        --at_;
      } else if (c != ' ' && c != '\t' && !(over_lines && (c == '\n' || c == '\r'))) {
        return;
      }
    }
  }
  static bool in_name(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  }
  std::string name() {
    const size_t begin = at_;
    while (at_ < text_.size() && in_name(text_[at_])) ++at_;
    return std::string(text_.substr(begin, at_ - begin));
  }
  Rule& named(const std::string& name) {
    Rule& rule = rules_[name];
    if (rule.term == kNothing) {
      rule.term = terms_.rule();
      rule.line = line();
    }
    return rule;
  }

  Result<void> rule() {
    const std::string left = name();
    if (left.empty()) return wrong("a rule must begin with its name");
    skip(false);
    if (!take("::=")) return wrong("the name of a rule must be followed by ::=");
    if (named(left).is_defined) return wrong("the rule " + quoted(left) + " is there twice");
    if (rules_.size() > kMaxRules)
      return wrong("there are more than " + std::to_string(kMaxRules) + " rules");
    skip(true);
    auto body = alternatives();
    if (!body) return tl::unexpected(body.error());
    skip(false);
    if (at_ < text_.size() && !at('\n') && !at('\r'))
      return wrong("the character " + quoted(text_.substr(at_, 1)) + " cannot stand here");
    Rule& rule = named(left);
    rule.is_defined = true;
    terms_.define(rule.term, *body);
    return {};
  }

  Result<Term> alternatives() {
    std::vector<Term> ways;
    for (;;) {
      auto way = sequence();
      if (!way) return way;
      ways.push_back(*way);
      skip(depth_ > 0);
      // A rule may go on in the next line with a |.
      const size_t before = at_;
      skip(true);
      if (!take("|")) {
        at_ = before;
        return terms_.alt(std::move(ways));
      }
      skip(true);
    }
  }

  Result<Term> sequence() {
    std::vector<Term> parts;
    for (;;) {
      skip(depth_ > 0);
      if (at_ == text_.size() || at('|') || at(')') || at('\n') || at('\r')) break;
      auto part = counted();
      if (!part) return part;
      parts.push_back(*part);
    }
    before_ = {};
    Term term = kEmptyText;
    for (size_t i = parts.size(); i-- > 0;) term = terms_.cat(parts[i], term);
    return term;
  }

  Result<Term> counted() {
    auto part = element();
    while (part) {
      skip(false);
      if (take("*")) {
        part = terms_.repeat(*part, 0, kUnbounded);
      } else if (take("+")) {
        part = terms_.repeat(*part, 1, kUnbounded);
      } else if (take("?")) {
        part = terms_.optional(*part);
      } else if (at('{')) {
        part = braces(*part);
      } else {
        break;
      }
      before_ = {};
    }
    return part;
  }

  std::optional<uint32_t> number() {
    skip(false);
    if (at_ == text_.size() || text_[at_] < '0' || text_[at_] > '9') return std::nullopt;
    uint32_t value = 0;
    for (; at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9'; ++at_)
      value = std::min(kMaxCount + 1, value * 10 + static_cast<uint32_t>(text_[at_] - '0'));
    skip(false);
    return value;
  }

  Result<Term> braces(Term part) {
    take("{");
    const auto first = number();
    const bool has_comma = take(",");
    const auto second = has_comma ? number() : first;
    if (!take("}") || (!first && !second)) return wrong("a count must be {n}, {n,}, {,m} or {n,m}");
    if (first.value_or(0) > kMaxCount || second.value_or(0) > kMaxCount)
      return wrong("a count above " + std::to_string(kMaxCount) + " is too large");
    const uint32_t max = second.value_or(kUnbounded);
    if (first.value_or(0) > max) return wrong("the count's minimum is above its maximum");
    return terms_.repeat(part, first.value_or(0), max);
  }

  Result<Term> element() {
    const std::string before = std::exchange(before_, {});
    if (take("\"")) return quoted_text();
    if (take("[")) return bracket();
    if (take(".")) return utf8_term(terms_, Charset::all());
    if (take("%json")) return json(before);
    if (at('!')) return wrong("\"not this token\" is not supported; name what may stand there");
    if (take("<")) return token();
    if (take("(")) {
      if (depth_ == kMaxGroups)
        return wrong("groups lie deeper inside of one another than " + std::to_string(kMaxGroups));
      ++depth_;
      auto inside = alternatives();
      --depth_;
      if (!inside) return inside;
      skip(true);
      if (!take(")")) return wrong("a group has no )");
      return inside;
    }
    const std::string name = this->name();
    if (name.empty()) return wrong("the character " + quoted(text_.substr(at_, 1)) + " cannot stand here");
    return named(name).term;
  }

  Result<char32_t> character() {
    if (at_ == text_.size()) return wrong("a text or a [ has no end");
    if (!take("\\")) {
      const utf8::Decoded decoded = utf8::decode(text_, at_);
      at_ += decoded.n_bytes;
      return decoded.code_point;
    }
    if (at_ == text_.size()) return wrong("a \\ ends the grammar");
    const char c = text_[at_++];
    switch (c) {
      case 'n':
        return U'\n';
      case 'r':
        return U'\r';
      case 't':
        return U'\t';
      case 'x':
        return hex(2);
      case 'u':
        return hex(4);
      case 'U':
        return hex(8);
      case '"':
      case '\\':
      case '[':
      case ']':
      case '-':
      case '^':
        return static_cast<char32_t>(c);
      default:
        return wrong("the escape " + quoted(std::string("\\") + c) + " is not known");
    }
  }

  Result<char32_t> hex(size_t n_digits) {
    uint64_t value = 0;
    for (size_t i = 0; i < n_digits; ++i, ++at_) {
      const char c = at_ < text_.size() ? text_[at_] : ' ';
      const char lower = static_cast<char>(c | 0x20);
      if (c >= '0' && c <= '9') {
        value = value * 16 + static_cast<uint64_t>(c - '0');
      } else if (lower >= 'a' && lower <= 'f') {
        value = value * 16 + static_cast<uint64_t>(lower - 'a' + 10);
      } else {
        return wrong("an escape needs " + std::to_string(n_digits) + " hexadecimal digits");
      }
    }
    if (value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF)) return wrong("there is no such character");
    return static_cast<char32_t>(value);
  }

  Result<Term> quoted_text() {
    std::string out;
    while (!take("\"")) {
      if (at('\n')) return wrong("a text has no end");
      auto c = character();
      if (!c) return tl::unexpected(c.error());
      utf8::append(out, *c);
    }
    before_ = out;
    return terms_.literal(out);
  }

  // <name> or <[id]>.
  Result<Term> token() {
    const size_t end = text_.find('>', at_);
    const std::string name(text_.substr(at_, std::min(end, text_.size()) - at_));
    if (end == std::string_view::npos || name.empty() || name.find('\n') != std::string::npos)
      return wrong("the name of a token has no >");
    const std::string text = token_texts_ ? token_texts_(name) : std::string();
    if (text.empty())
      return wrong("there is no token " + quoted(std::string("<").append(name).append(">")) +
                   " that may stand in an answer");
    at_ = end + 1;
    before_ = text;
    return terms_.literal(text);
  }

  // before: the text that stands before it, by which it is known where it begins.
  Result<Term> json(const std::string& before) {
    skip(false);
    const size_t n_bytes = json_length(text_.substr(at_));
    if (n_bytes == 0) return wrong("%json must be followed by a schema in braces");
    auto schema = parse_json_schema(terms_, text_.substr(at_, n_bytes), SchemaPlace::kInside);
    if (!schema) return wrong(schema.error().message);
    at_ += n_bytes;
    made_.has_json = true;
    made_.unique_items = made_.unique_items || schema->unique_items;
    made_.owned.push_back(std::move(schema->owned));
    made_.json_marks.push_back(before);
    return schema->start;
  }

  // Of the object that a text begins with; 0: it begins with none.
  static size_t json_length(std::string_view text) {
    if (!text.starts_with('{')) return 0;
    size_t depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < text.size(); ++i) {
      const char c = text[i];
      if (in_string) {
        if (c == '\\') ++i;
        in_string = c != '"';
      } else if (c == '"') {
        in_string = true;
      } else if (c == '{') {
        ++depth;
      } else if (c == '}' && --depth == 0) {
        return i + 1;
      }
    }
    return 0;
  }

  Result<Term> bracket() {
    const bool negated = take("^");
    Charset set;
    while (!take("]")) {
      auto from = character();
      if (!from) return tl::unexpected(from.error());
      char32_t to = *from;
      if (at('-') && at_ + 1 < text_.size() && text_[at_ + 1] != ']') {
        ++at_;
        auto last = character();
        if (!last) return tl::unexpected(last.error());
        to = *last;
      }
      if (to < *from) return wrong("a range ends before it begins");
      set.add(*from, to);
    }
    const Term term = utf8_term(terms_, negated ? set.complement() : set);
    if (term == kNothing) return wrong("an empty [] matches nothing");
    return term;
  }

  Terms& terms_;
  std::string_view text_;
  std::map<std::string, Rule> rules_;
  size_t at_ = 0;
  size_t depth_ = 0;
  const TokenTexts& token_texts_;
  std::string before_;  // the text of the element before this one, if it is nothing else
  Grammar made_;
};

}  // namespace

Result<Grammar> parse_gbnf(Terms& terms, std::string_view grammar, const TokenTexts& token_texts) {
  if (grammar.size() > kMaxGrammarBytes) {
    return fail(ErrorCode::kInvalidArgument, "the grammar has " + std::to_string(grammar.size()) +
                                                 " bytes; up to " + std::to_string(kMaxGrammarBytes) +
                                                 " are allowed");
  }
  if (const auto offset = utf8::first_invalid(grammar))
    return fail(ErrorCode::kInvalidArgument,
                "the grammar is not valid UTF-8 at byte " + std::to_string(*offset));
  return Parser(terms, grammar, token_texts).parse();
}

}  // namespace lazyfill
