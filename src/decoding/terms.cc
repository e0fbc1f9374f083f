#include "decoding/terms.h"

#include <algorithm>
#include <map>
#include <utility>

namespace lazyfill {
namespace {

constexpr uint32_t kUnknownBound = UINT32_MAX - 1;
constexpr size_t kNodeBytes = 80;  // of a term with all that is known of it

}  // namespace

Terms::Terms(const TermLimits& limits) : limits_(limits), index_(1024, kNothing) {
  for (const Kind kind : {Kind::kNone, Kind::kEmpty}) {
    Node node;
    node.kind = kind;
    nodes_.push_back(node);
    rows_.push_back(std::make_unique<TermRow>());
    nullable_.push_back(kind == Kind::kEmpty ? 1 : 0);
    alive_.push_back(kind == Kind::kEmpty ? 1 : 0);
    bound_.push_back(kind == Kind::kEmpty ? 0 : kUnbounded);
  }
}

size_t Terms::hash(const Node& node, std::span<const Term> list) const {
  uint64_t h = static_cast<uint64_t>(node.kind) * 0x9E3779B97F4A7C15ULL;
  const auto mix = [&h](uint64_t value) {
    h = (h ^ value) * 0xBF58476D1CE4E5B9ULL;
    h ^= h >> 29;
  };
  if (node.kind == Kind::kSet) {
    mix(std::hash<ByteSet>{}(sets_[node.a]));
  } else if (node.kind == Kind::kAlt || node.kind == Kind::kBoth) {
    for (const Term term : list) mix(term);
  } else {
    mix(node.a);
    mix(node.b);
    mix((uint64_t{node.min} << 32) | node.max);
  }
  return static_cast<size_t>(h);
}

bool Terms::same(Term term, const Node& node, std::span<const Term> list) const {
  const Node& other = nodes_[term];
  if (other.kind != node.kind) return false;
  if (node.kind == Kind::kSet) return sets_[other.a] == sets_[node.a];
  if (node.kind == Kind::kAlt || node.kind == Kind::kBoth)
    return other.b == list.size() &&
           std::equal(list.begin(), list.end(), lists_.begin() + static_cast<ptrdiff_t>(other.a));
  return other.a == node.a && other.b == node.b && other.min == node.min && other.max == node.max;
}

Term Terms::intern(Node node, std::span<const Term> list) {
  size_t slot = hash(node, list) & (index_.size() - 1);
  for (; index_[slot] != kNothing; slot = (slot + 1) & (index_.size() - 1)) {
    if (same(index_[slot], node, list)) return index_[slot];
  }
  if (nodes_.size() >= limits_.max_terms || node.length > limits_.max_length ||
      node.height > limits_.max_height)
    return overflow();
  const bool is_list = node.kind == Kind::kAlt || node.kind == Kind::kBoth;
  if (is_list) {
    node.a = static_cast<uint32_t>(lists_.size());
    node.b = static_cast<uint32_t>(list.size());
    lists_.insert(lists_.end(), list.begin(), list.end());
  }
  const auto term = static_cast<Term>(nodes_.size());
  nodes_.push_back(node);
  rows_.emplace_back();
  nullable_.push_back(-1);
  alive_.push_back(-1);
  bound_.push_back(kUnknownBound);
  longest_ = std::max(longest_, node.length);
  highest_ = std::max(highest_, node.height);
  index_[slot] = term;
  if (2 * nodes_.size() > index_.size()) {
    index_.assign(2 * index_.size(), kNothing);
    for (Term t = 2; t < nodes_.size(); ++t) {
      size_t s = hash(nodes_[t], parts_of(t)) & (index_.size() - 1);
      while (index_[s] != kNothing) s = (s + 1) & (index_.size() - 1);
      index_[s] = t;
    }
  }
  return term;
}

std::span<const Term> Terms::parts_of(Term term) const {
  const Node& node = nodes_[term];
  if (node.kind != Kind::kAlt && node.kind != Kind::kBoth) return {};
  return {lists_.data() + node.a, node.b};
}

void Terms::limit_growth(uint32_t more_length, uint32_t more_height, size_t max_terms) {
  limits_.max_length = longest_ + more_length;
  limits_.max_height = highest_ + more_height;
  limits_.max_terms = std::max(nodes_.size() + 1024, max_terms);
}

size_t Terms::bytes_used() const {
  return nodes_.size() * kNodeBytes + lists_.size() * sizeof(Term) + sets_.size() * sizeof(ByteSet) +
         rules_.size() * sizeof(Rule) + row_bytes_;
}

Term Terms::set(const ByteSet& bytes) {
  if (bytes.none()) return kNothing;
  sets_.push_back(bytes);
  Node node;
  node.kind = Kind::kSet;
  node.a = static_cast<uint32_t>(sets_.size() - 1);
  const Term term = intern(node);
  if (nodes_[term].kind != Kind::kSet || nodes_[term].a != node.a) sets_.pop_back();
  return term;
}

Term Terms::bytes(uint8_t first, uint8_t last) {
  ByteSet set_of;
  for (unsigned byte = first; byte <= last; ++byte) set_of.set(byte);
  return set(set_of);
}

Term Terms::literal(std::string_view text) {
  Term term = kEmptyText;
  for (size_t i = text.size(); i-- > 0;) {
    const auto byte = static_cast<uint8_t>(text[i]);
    term = cat(bytes(byte, byte), term);
  }
  return term;
}

Term Terms::cat(Term first, Term then) {
  if (first == kNothing || then == kNothing) return kNothing;
  std::vector<Term> parts;  // of `first`: chains lean to the right
  for (; nodes_[first].kind == Kind::kCat; first = nodes_[first].b) parts.push_back(nodes_[first].a);
  parts.push_back(first);
  Term term = then;
  for (size_t i = parts.size(); i-- > 0 && term != kNothing;) {
    if (parts[i] == kEmptyText) continue;
    if (term == kEmptyText) {
      term = parts[i];
      continue;
    }
    Node node;
    node.kind = Kind::kCat;
    node.a = parts[i];
    node.b = term;
    node.length = 1 + nodes_[term].length;
    node.height = std::max(nodes_[parts[i]].height + 1, nodes_[term].height);
    term = intern(node);
  }
  return term;
}

Term Terms::cat(std::initializer_list<Term> parts) {
  Term term = kEmptyText;
  for (auto part = std::rbegin(parts); part != std::rend(parts); ++part) term = cat(*part, term);
  return term;
}

Term Terms::list_of(Kind kind, std::vector<Term> terms) {
  if (terms.size() == 1) return terms[0];
  if (terms.size() > limits_.max_alternatives) return overflow();
  Node node;
  node.kind = kind;
  for (const Term term : terms) {
    node.height = std::max(node.height, nodes_[term].height + 1);
    node.length = std::max(node.length, nodes_[term].length);
  }
  return intern(node, terms);
}

// Of x{0,3}y and x{0,5}y the second has all of both: counted repeats inside of one another stay small.
void Terms::join_repeats(std::vector<Term>& terms) {
  std::map<std::pair<Term, Term>, Term> longest;  // what is repeated, what follows -> the term
  std::vector<Term> kept;
  for (const Term term : terms) {
    const Node& node = nodes_[term];
    const Node& first = node.kind == Kind::kCat ? nodes_[node.a] : node;
    if (first.kind != Kind::kRepeat || first.min > 0) {
      kept.push_back(term);
      continue;
    }
    const Term rest = node.kind == Kind::kCat ? node.b : kEmptyText;
    auto [found, is_new] = longest.try_emplace({first.a, rest}, term);
    if (is_new) continue;
    const Node& other = nodes_[found->second];
    if ((other.kind == Kind::kCat ? nodes_[other.a].max : other.max) < first.max) found->second = term;
  }
  for (const auto& [key, term] : longest) kept.push_back(term);
  terms = std::move(kept);
}

Term Terms::alt(std::vector<Term> terms) {
  std::vector<Term> flat;
  ByteSet one_byte;
  for (const Term term : terms) {
    if (nodes_[term].kind == Kind::kAlt) {
      for (const Term part : parts_of(term)) flat.push_back(part);
    } else if (term != kNothing) {
      flat.push_back(term);
    }
  }
  std::erase_if(flat, [&](Term term) {
    if (nodes_[term].kind != Kind::kSet) return false;
    one_byte |= sets_[nodes_[term].a];
    return true;
  });
  if (one_byte.any()) flat.push_back(set(one_byte));
  if (flat.size() > 1) join_repeats(flat);
  std::sort(flat.begin(), flat.end());
  flat.erase(std::unique(flat.begin(), flat.end()), flat.end());
  return flat.empty() ? kNothing : list_of(Kind::kAlt, std::move(flat));
}

Term Terms::both(std::vector<Term> terms) {
  std::vector<Term> flat;
  const Term everything = no(kNothing);
  bool has_set = false;
  ByteSet one_byte = ~ByteSet();
  for (const Term term : terms) {
    if (term == kNothing) return kNothing;
    if (nodes_[term].kind == Kind::kBoth) {
      for (const Term part : parts_of(term)) flat.push_back(part);
    } else if (nodes_[term].kind == Kind::kSet) {
      has_set = true;
      one_byte &= sets_[nodes_[term].a];
    } else if (term != everything) {
      flat.push_back(term);
    }
  }
  if (has_set) flat.push_back(set(one_byte));
  std::sort(flat.begin(), flat.end());
  flat.erase(std::unique(flat.begin(), flat.end()), flat.end());
  if (flat.empty()) return everything;
  return flat[0] == kNothing ? kNothing : list_of(Kind::kBoth, std::move(flat));
}

Term Terms::no(Term term) {
  if (nodes_[term].kind == Kind::kNot) return nodes_[term].a;
  Node node;
  node.kind = Kind::kNot;
  node.a = term;
  node.length = nodes_[term].length;
  node.height = nodes_[term].height + 1;
  return intern(node);
}

Term Terms::repeat(Term term, uint32_t min, uint32_t max) {
  if (max == 0 || term == kEmptyText) return kEmptyText;
  if (term == kNothing) return min == 0 ? kEmptyText : kNothing;
  if (min == 1 && max == 1) return term;
  const Node inner = nodes_[term];
  if (inner.kind == Kind::kRepeat && inner.min <= 1) {
    // Counts inside of counts are one count: all numbers from the product of the least to that of the most.
    const uint64_t most = uint64_t{inner.max} * max;
    const bool unbounded = inner.max == kUnbounded || max == kUnbounded;
    return repeat(inner.a, inner.min * min,
                  unbounded ? kUnbounded : static_cast<uint32_t>(std::min<uint64_t>(most, kUnbounded - 1)));
  }
  Node node;
  node.kind = Kind::kRepeat;
  node.a = term;
  node.min = min;
  node.max = max;
  node.length = inner.length;
  node.height = inner.height + 1;
  return intern(node);
}

Term Terms::rule() {
  Node node;
  node.kind = Kind::kRule;
  node.a = static_cast<uint32_t>(rules_.size());
  rules_.emplace_back();
  return intern(node);
}

void Terms::define(Term rule, Term body) {
  if (nodes_[rule].kind == Kind::kRule) rules_[nodes_[rule].a].body = body;
}

Term Terms::lazy_rule(std::function<Term()> body, std::function<uint32_t()> least) {
  const Term term = rule();
  Rule& made = rules_.back();
  made.write = std::move(body);
  made.least = std::move(least);
  made.is_lazy = true;
  return term;
}

Term Terms::body(Rule& rule) {
  if (!rule.write) return rule.body;
  const auto index = static_cast<size_t>(&rule - rules_.data());
  const auto write = std::exchange(rule.write, nullptr);
  const Term written = write();  // may make further rules
  rules_[index].body = written;
  return written;
}

}  // namespace lazyfill
