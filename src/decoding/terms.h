// Languages of byte strings as terms of an algebra: bytes, one after another, either, both, not, counted
// repeats, and rules that may name themselves. The derivative of a term by a byte is the term of what may
// follow it, so a term is the state of an automaton that is made while it is walked: no table is built ahead,
// patterns with both/not and patterns with a stack need no other machine, and equal terms are one number
// (Brzozowski 1964; Owens, Reppy and Turon 2009).
#pragma once

#include <array>
#include <bitset>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace lazyfill {

using Term = uint32_t;
inline constexpr Term kNothing = 0;    // no string at all
inline constexpr Term kEmptyText = 1;  // the empty string alone
inline constexpr uint32_t kUnbounded = UINT32_MAX;

using ByteSet = std::bitset<256>;

// The bytes from `first` to `last` lead to `target`.
struct TermStep {
  uint8_t first = 0;
  uint8_t last = 0;
  Term target = kNothing;
};
using TermRow = std::vector<TermStep>;  // ascending and apart; no target is kNothing

struct TermLimits {
  size_t max_terms = 400'000;
  size_t max_alternatives = 20'000;  // of one term
  uint32_t max_length = 200'000;     // parts one after another: what is still to come, the stack
  uint32_t max_height = 600;         // parts inside of one another
};

class Terms {
 public:
  explicit Terms(const TermLimits& limits = {});
  Terms(const Terms&) = delete;
  Terms& operator=(const Terms&) = delete;

  Term set(const ByteSet& bytes);
  Term bytes(uint8_t first, uint8_t last);
  Term literal(std::string_view text);
  Term cat(Term first, Term then);
  Term cat(std::initializer_list<Term> parts);
  Term alt(std::vector<Term> terms);
  Term both(std::vector<Term> terms);
  Term no(Term term);  // all byte strings but its
  // `max`: kUnbounded for no limit.
  Term repeat(Term term, uint32_t min, uint32_t max);
  Term optional(Term term) { return alt({kEmptyText, term}); }

  // A rule is named first and defined later.
  Term rule();
  void define(Term rule, Term body);
  // A rule that is written when it is first looked into. It must not match the empty string, and what it
  // names must exist before close(). `least`: a lower bound of the bytes that it matches, kUnbounded: none.
  Term lazy_rule(std::function<Term()> body, std::function<uint32_t()> least);
  // All rules are defined. From here on terms may be looked into.
  void close();
  // A rule that begins with itself, by way of others; kNothing: there is none.
  Term left_recursive_rule();

  bool nullable(Term term);  // matches the empty string
  const TermRow& row(Term term);
  Term after(Term term, uint8_t byte);
  Term after(Term term, std::string_view text);
  // A lower bound of the bytes of the shortest match; kUnbounded: there is surely none.
  uint32_t bound(Term term);
  // Whether anything matches. Where finding out takes too long, no.
  bool alive(Term term);
  // Up to n texts that it matches, short ones first, found by looking into at most `budget` terms. Of wide
  // ranges of bytes a few stand for all.
  std::vector<std::string> matches(Term term, size_t n, size_t budget);
  // Nothing can follow.
  bool is_over(Term term) { return row(term).empty(); }

  // What the top of a term is, for those who take it apart.
  bool is_cat(Term term) const { return nodes_[term].kind == Kind::kCat; }
  bool is_alt(Term term) const { return nodes_[term].kind == Kind::kAlt; }
  Term first_of(Term cat) const { return nodes_[cat].a; }
  Term rest_of(Term cat) const { return nodes_[cat].b; }
  std::span<const Term> parts_of(Term alt) const;

  // Something was larger than the limits, and is missing since.
  bool overflowed() const { return overflowed_; }
  size_t size() const { return nodes_.size(); }
  size_t bytes_used() const;
  // Terms that are made from here on may be so much longer than those that there are.
  void limit_growth(uint32_t more_length, uint32_t more_height, size_t max_terms);

 private:
  enum class Kind : uint8_t { kNone, kEmpty, kSet, kCat, kAlt, kBoth, kNot, kRepeat, kRule };
  struct Node {
    Kind kind = Kind::kNone;
    uint32_t a = 0;  // set, rule: its index; list: where it begins; else the first part
    uint32_t b = 0;  // list: its length
    uint32_t min = 0, max = 0;
    uint32_t length = 1;
    uint32_t height = 1;
  };
  struct Rule {
    Term body = kNothing;
    std::function<Term()> write;  // not yet written
    std::function<uint32_t()> least;
    bool is_lazy = false;
    bool is_busy = false;
    bool nullable = false;
    uint32_t bound = kUnbounded;
  };

  Term intern(Node node, std::span<const Term> list = {});
  size_t hash(const Node& node, std::span<const Term> list) const;
  bool same(Term term, const Node& node, std::span<const Term> list) const;
  Term overflow() {
    overflowed_ = true;
    return kNothing;
  }
  Term list_of(Kind kind, std::vector<Term> terms);
  void join_repeats(std::vector<Term>& terms);
  Term body(Rule& rule);
  void derive(Term term, TermRow& row);
  void derive_cat(const Node& node, TermRow& row);
  void derive_repeat(const Node& node, TermRow& row);
  void derive_alt(const std::vector<const TermRow*>& rows, TermRow& row);
  void derive_both(Term term, TermRow& row);
  void derive_not(const Node& node, TermRow& row);
  bool find_nullable(Term term);
  uint32_t find_bound(Term term);
  bool find_alive(Term term);
  bool starts_with_itself(Term term, std::vector<uint8_t>& seen, Term& culprit);

  TermLimits limits_;
  std::vector<Node> nodes_;
  std::vector<Term> lists_;
  std::vector<ByteSet> sets_;
  std::vector<Rule> rules_;
  std::vector<uint32_t> index_;  // open addressing over nodes_
  std::vector<std::unique_ptr<TermRow>> rows_;
  std::vector<int8_t> nullable_;  // -1: not known yet
  std::vector<int8_t> alive_;     // likewise
  std::vector<uint32_t> bound_;
  size_t row_bytes_ = 0;
  uint32_t longest_ = 1, highest_ = 1;
  bool overflowed_ = false;
};

}  // namespace lazyfill
