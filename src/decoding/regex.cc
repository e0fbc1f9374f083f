#include "decoding/regex.h"

#include <optional>
#include <string>

#include "base/quoted.h"
#include "tokenizer/utf8.h"

namespace lazyfill {
namespace {

constexpr size_t kMaxPatternBytes = 64 * 1024;
constexpr size_t kMaxGroups = 200;       // inside of one another
constexpr uint32_t kMaxCount = 100'000;  // in {n,m}

class Parser {
 public:
  Parser(Terms& terms, std::string_view pattern, RegexMatch match, CharacterTerm character)
      : terms_(terms), pattern_(pattern), searches_(match == RegexMatch::kSearch), character_(character) {}

  Result<Term> parse() {
    auto whole = alternatives();
    if (!whole) return whole;
    if (!at_end()) return wrong("the ) closes no group; write \\) for the character");
    if (terms_.overflowed())
      return fail(ErrorCode::kInvalidArgument,
                  "the regular expression is too large; make it or its counts smaller");
    return whole;
  }

 private:
  bool at_end() const { return at_ == pattern_.size(); }
  bool next_is(std::string_view text) const { return pattern_.substr(at_).starts_with(text); }
  bool take(std::string_view text) {
    if (!next_is(text)) return false;
    at_ += text.size();
    return true;
  }
  tl::unexpected<Error> wrong(const std::string& what) const {
    return fail(ErrorCode::kInvalidArgument,
                "the regular expression cannot be used, byte " + std::to_string(at_) + ": " + what);
  }
  tl::unexpected<Error> unsupported(const std::string& what) const {
    return wrong(what + " are not supported, because no automaton knows them");
  }
  Term one(const Charset& set) { return character_(terms_, set); }
  Term anything() { return terms_.repeat(one(Charset::all()), 0, kUnbounded); }

  Result<Term> alternatives() {
    std::vector<Term> ways;
    do {
      auto way = alternative();
      if (!way) return way;
      ways.push_back(*way);
    } while (take("|"));
    return terms_.alt(std::move(ways));
  }

  Result<Term> alternative() {
    const bool is_top = depth_ == 0;
    bool from_start = false;
    bool to_end = false;
    while (is_top && take("^")) from_start = true;
    std::vector<Term> parts;
    while (!at_end() && !next_is("|") && !next_is(")")) {
      if (is_top && pattern_[at_] == '$') {
        ++at_;
        to_end = true;
        if (!at_end() && !next_is("|") && !next_is("$"))
          return wrong("the anchor $ can only end the pattern or one of its alternatives");
        continue;
      }
      auto part = counted();
      if (!part) return part;
      parts.push_back(*part);
    }
    Term term = is_top && searches_ && !to_end ? anything() : kEmptyText;
    for (size_t i = parts.size(); i-- > 0;) term = terms_.cat(parts[i], term);
    if (is_top && searches_ && !from_start) term = terms_.cat(anything(), term);
    return term;
  }

  // An atom and how often.
  Result<Term> counted() {
    auto atom = this->atom();
    while (atom && !at_end()) {
      uint32_t min = 0;
      uint32_t max = kUnbounded;
      if (take("*")) {
      } else if (take("+")) {
        min = 1;
      } else if (take("?")) {
        max = 1;
      } else if (next_is("{")) {
        auto read = braces(min, max);
        if (!read) return tl::unexpected(read.error());
        if (!*read) break;  // a brace that is no count stands for itself
      } else {
        break;
      }
      if (next_is("+")) return unsupported("possessive counts such as *+");
      take("?");  // lazy: the same texts
      atom = terms_.repeat(*atom, min, max);
    }
    return atom;
  }

  std::optional<uint32_t> number(bool& too_large) {
    if (at_end() || pattern_[at_] < '0' || pattern_[at_] > '9') return std::nullopt;
    uint32_t value = 0;
    for (; !at_end() && pattern_[at_] >= '0' && pattern_[at_] <= '9'; ++at_) {
      value = value * 10 + static_cast<uint32_t>(pattern_[at_] - '0');
      if (value > kMaxCount) {
        too_large = true;
        value = kMaxCount;
      }
    }
    return value;
  }

  Result<bool> braces(uint32_t& min, uint32_t& max) {
    const size_t begin = at_++;
    bool too_large = false;
    const auto first = number(too_large);
    const bool has_comma = take(",");
    const auto second = has_comma ? number(too_large) : std::nullopt;
    if (!first || !take("}")) {
      at_ = begin;
      return false;
    }
    if (too_large) {
      at_ = begin;
      return wrong("a count above " + std::to_string(kMaxCount) + " is too large");
    }
    min = *first;
    max = !has_comma ? *first : second.value_or(kUnbounded);
    if (min > max) {
      at_ = begin;
      return wrong("the count's minimum is above its maximum");
    }
    return true;
  }

  Result<Term> atom() {
    const char c = pattern_[at_];
    switch (c) {
      case '(':
        return group();
      case '[': {
        auto set = bracket();
        if (!set) return tl::unexpected(set.error());
        return one(*set);
      }
      case '\\': {
        auto set = escape(false);
        if (!set) return tl::unexpected(set.error());
        return one(*set);
      }
      case '.': {
        ++at_;
        Charset line_ends('\n', '\n');
        line_ends.add('\r', '\r');
        return one(line_ends.complement());
      }
      case '*':
      case '+':
      case '?':
        return wrong("there is nothing to repeat; write \\" + std::string(1, c) + " for the character");
      case '^':
      case '$':
        return wrong(std::string("the anchor ") + c +
                     (c == '^' ? " can only begin the pattern or one of its alternatives"
                               : " can only end the pattern or one of its alternatives"));
      default:
        break;
    }
    const utf8::Decoded character = utf8::decode(pattern_, at_);
    at_ += character.n_bytes;
    return one({character.code_point, character.code_point});
  }

  Result<Term> group() {
    constexpr std::pair<std::string_view, const char*> kRefused[] = {{"(?=", "look-aheads"},
                                                                     {"(?!", "look-aheads"},
                                                                     {"(?<=", "look-behinds"},
                                                                     {"(?<!", "look-behinds"},
                                                                     {"(?>", "atomic groups"},
                                                                     {"(?P=", "back-references"},
                                                                     {"(?(", "conditions"},
                                                                     {"(?R", "recursive calls"},
                                                                     {"(?&", "recursive calls"},
                                                                     {"(?#", "comments"},
                                                                     {"(*", "verbs"}};
    for (const auto& [begin, name] : kRefused) {
      if (next_is(begin)) return unsupported(name);
    }
    if (depth_ == kMaxGroups)
      return wrong("groups lie deeper inside of one another than " + std::to_string(kMaxGroups));
    if (take("(?:")) {
    } else if (take("(?P<") || take("(?<")) {
      const size_t end = pattern_.find('>', at_);
      if (end == std::string_view::npos) return wrong("the name of the group has no end");
      at_ = end + 1;
    } else if (next_is("(?")) {
      return unsupported("inline flags");
    } else {
      ++at_;
    }
    ++depth_;
    auto inside = alternatives();
    --depth_;
    if (!inside) return inside;
    if (!take(")")) return wrong("a group has no )");
    return inside;
  }

  std::optional<char32_t> hex(size_t n_digits) {
    char32_t value = 0;
    for (size_t i = 0; i < n_digits; ++i, ++at_) {
      if (at_end()) return std::nullopt;
      const char c = pattern_[at_];
      const char lower = static_cast<char>(c | 0x20);
      if (c >= '0' && c <= '9') {
        value = value * 16 + static_cast<char32_t>(c - '0');
      } else if (lower >= 'a' && lower <= 'f') {
        value = value * 16 + static_cast<char32_t>(lower - 'a' + 10);
      } else {
        return std::nullopt;
      }
    }
    return value;
  }

  // \xHH, \uHHHH, a pair of them, \x{H...}, \u{H...}; at_ is behind the letter.
  Result<Charset> code_point(char letter) {
    std::optional<char32_t> value;
    if (take("{")) {
      const size_t end = pattern_.find('}', at_);
      if (end != std::string_view::npos && end > at_ && end - at_ <= 6) value = hex(end - at_);
      if (!value || !take("}")) return wrong("an escape has no number in its braces");
    } else {
      value = hex(letter == 'x' ? 2 : 4);
      if (!value) return wrong(std::string("\\") + letter + " needs hexadecimal digits");
      if (*value >= 0xD800 && *value < 0xDC00 && take("\\u")) {
        const auto low = hex(4);
        if (!low || *low < 0xDC00 || *low > 0xDFFF) return wrong("half of a surrogate pair stands alone");
        value = 0x10000 + ((*value - 0xD800) << 10) + (*low - 0xDC00);
      }
    }
    if (*value > 0x10FFFF || (*value >= 0xD800 && *value <= 0xDFFF))
      return wrong("there is no such character");
    return Charset(*value, *value);
  }

  Result<Charset> property(bool negated) {
    std::string_view name;
    if (take("{")) {
      const size_t end = pattern_.find('}', at_);
      if (end == std::string_view::npos) return wrong("\\p{ has no end");
      name = pattern_.substr(at_, end - at_);
      at_ = end + 1;
    } else {
      name = pattern_.substr(at_, 1);
      at_ += name.size();
    }
    if (name.starts_with('^')) {
      negated = !negated;
      name.remove_prefix(1);
    }
    for (const std::string_view prefix : {"General_Category=", "gc="}) {
      if (name.starts_with(prefix)) name.remove_prefix(prefix.size());
    }
    const auto set = Charset::category(name);
    if (!set)
      return wrong("the Unicode property " + quoted(name) + " is not supported; general categories are");
    return negated ? set->complement() : *set;
  }

  Result<Charset> escape(bool in_bracket) {
    const size_t begin = at_++;
    if (at_end()) return wrong("a \\ ends the pattern");
    const char c = pattern_[at_++];
    const auto refuse = [&](const char* what) {
      at_ = begin;
      return unsupported(what);
    };
    const auto literal = [](char32_t value) { return Charset(value, value); };
    if (c >= '1' && c <= '9') return refuse("back-references");
    switch (c) {
      case 'd':
        return Charset::digits();
      case 'D':
        return Charset::digits().complement();
      case 'w':
        return Charset::word_characters();
      case 'W':
        return Charset::word_characters().complement();
      case 's':
        return Charset::spaces();
      case 'S':
        return Charset::spaces().complement();
      case 'p':
        return property(false);
      case 'P':
        return property(true);
      case 't':
        return literal('\t');
      case 'n':
        return literal('\n');
      case 'r':
        return literal('\r');
      case 'f':
        return literal('\f');
      case 'v':
        return literal('\v');
      case 'a':
        return literal('\a');
      case 'e':
        return literal(0x1B);
      case '0':
        return literal(0);
      case 'x':
      case 'u':
        return code_point(c);
      case 'c': {
        if (at_end()) return wrong("\\c needs a letter");
        return literal(static_cast<char32_t>(pattern_[at_++] & 0x1F));
      }
      case 'b':
        if (in_bracket) return literal('\b');
        return refuse("word boundaries");
      case 'B':
        return refuse("word boundaries");
      case 'k':
      case 'g':
        return refuse("back-references");
      case 'A':
      case 'z':
      case 'Z':
      case 'G':
        return refuse("the anchors \\A, \\z, \\Z and \\G");
      default:
        break;
    }
    const bool is_word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (is_word) {
      at_ = begin;
      return wrong(std::string("the escape \\") + c + " is not known");
    }
    --at_;
    const utf8::Decoded character = utf8::decode(pattern_, at_);
    at_ += character.n_bytes;
    return literal(character.code_point);
  }

  // One character or class of a bracket; is_one: it can begin or end a range.
  Result<Charset> bracket_item(bool& is_one, char32_t& value) {
    if (next_is("[:")) return unsupported("POSIX classes such as [:alpha:]");
    Charset set;
    if (pattern_[at_] == '\\') {
      auto escaped = escape(true);
      if (!escaped) return escaped;
      set = std::move(*escaped);
    } else {
      const utf8::Decoded character = utf8::decode(pattern_, at_);
      at_ += character.n_bytes;
      set = {character.code_point, character.code_point};
    }
    const auto ranges = set.ranges();
    is_one = ranges.size() == 1 && ranges[0].first == ranges[0].second;
    if (is_one) value = ranges[0].first;
    return set;
  }

  Result<Charset> bracket() {
    const size_t begin = at_++;
    const bool negated = take("^");
    Charset set;
    for (bool first = true;; first = false) {
      if (at_end()) {
        at_ = begin;
        return wrong("a [ has no ]");
      }
      if (!first && take("]")) break;
      if (first && next_is("]")) {
        ++at_;
        if (at_end() || pattern_.find(']', at_) == std::string_view::npos) {
          if (negated) return Charset::all();
          return wrong("an empty [] matches nothing");
        }
        set.add(']', ']');
        continue;
      }
      bool is_one = false;
      char32_t from = 0;
      auto item = bracket_item(is_one, from);
      if (!item) return item;
      if (is_one && next_is("-") && at_ + 1 < pattern_.size() && pattern_[at_ + 1] != ']') {
        ++at_;
        bool ends = false;
        char32_t to = 0;
        auto last = bracket_item(ends, to);
        if (!last) return last;
        if (!ends) return wrong("a range ends with a class");
        if (to < from) return wrong("a range ends before it begins");
        set.add(from, to);
      } else {
        set.add(*item);
      }
    }
    return negated ? set.complement() : set;
  }

  Terms& terms_;
  std::string_view pattern_;
  bool searches_;
  CharacterTerm character_;
  size_t at_ = 0;
  size_t depth_ = 0;
};

}  // namespace

Result<Term> parse_regex(Terms& terms, std::string_view pattern, RegexMatch match, CharacterTerm character) {
  if (pattern.size() > kMaxPatternBytes) {
    return fail(ErrorCode::kInvalidArgument, "the regular expression has " + std::to_string(pattern.size()) +
                                                 " bytes; up to " + std::to_string(kMaxPatternBytes) +
                                                 " are allowed");
  }
  if (const auto offset = utf8::first_invalid(pattern)) {
    return fail(ErrorCode::kInvalidArgument,
                "the regular expression is not valid UTF-8 at byte " + std::to_string(*offset));
  }
  return Parser(terms, pattern, match, character).parse();
}

}  // namespace lazyfill
