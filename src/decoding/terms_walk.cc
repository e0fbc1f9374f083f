// Looking into terms: derivatives, and what is known of the shortest match.
#include <algorithm>
#include <queue>
#include <unordered_map>

#include "decoding/terms.h"

namespace lazyfill {
namespace {

constexpr uint32_t kUnknownBound = UINT32_MAX - 1;
constexpr size_t kAliveBudget = 4000;
// Bytes that stand for a wide range, beside its first: what words, numbers and texts are made of.
constexpr std::string_view kUsualBytes = "a0A ._\"";
constexpr size_t kNarrow = 8;

void append(TermRow& row, uint8_t first, uint8_t last, Term target) {
  if (target == kNothing) return;
  if (!row.empty() && row.back().target == target && row.back().last + 1 == first) {
    row.back().last = last;
  } else {
    row.push_back({first, last, target});
  }
}

uint32_t saturating(uint64_t value) {
  return static_cast<uint32_t>(std::min<uint64_t>(value, kUnknownBound - 1));
}

}  // namespace

void Terms::close() {
  // Least fixed points over the rules, from both ends by turns so that long chains of rules settle soon.
  for (bool changed = true, forward = true; changed; forward = !forward) {
    changed = false;
    std::fill(nullable_.begin() + 2, nullable_.end(), int8_t{-1});
    std::fill(bound_.begin() + 2, bound_.end(), kUnknownBound);
    for (size_t i = 0; i < rules_.size(); ++i) {
      const size_t index = forward ? i : rules_.size() - 1 - i;
      if (rules_[index].is_lazy) continue;
      const bool can_be_empty = nullable(rules_[index].body);
      const uint32_t least = bound(rules_[index].body);
      if (can_be_empty == rules_[index].nullable && least >= rules_[index].bound) continue;
      rules_[index].nullable = can_be_empty;
      rules_[index].bound = least;
      changed = true;
      // What was found by way of this rule is found anew.
      std::fill(nullable_.begin() + 2, nullable_.end(), int8_t{-1});
      std::fill(bound_.begin() + 2, bound_.end(), kUnknownBound);
    }
  }
}

bool Terms::nullable(Term term) {
  if (nullable_[term] < 0) nullable_[term] = find_nullable(term) ? 1 : 0;
  return nullable_[term] == 1;
}

bool Terms::find_nullable(Term term) {
  const Node node = nodes_[term];
  switch (node.kind) {
    case Kind::kNone:
    case Kind::kSet:
      return false;
    case Kind::kEmpty:
      return true;
    case Kind::kCat:
      for (; nodes_[term].kind == Kind::kCat; term = nodes_[term].b) {
        if (!nullable(nodes_[term].a)) return false;
      }
      return nullable(term);
    case Kind::kAlt:
      for (uint32_t i = 0; i < node.b; ++i) {
        if (nullable(lists_[node.a + i])) return true;
      }
      return false;
    case Kind::kBoth:
      for (uint32_t i = 0; i < node.b; ++i) {
        if (!nullable(lists_[node.a + i])) return false;
      }
      return true;
    case Kind::kNot:
      return !nullable(node.a);
    case Kind::kRepeat:
      return node.min == 0 || nullable(node.a);
    case Kind::kRule:
      return !rules_[node.a].is_lazy && rules_[node.a].nullable;
  }
  return false;
}

uint32_t Terms::bound(Term term) {
  if (bound_[term] == kUnknownBound) {
    const uint32_t found = find_bound(term);
    bound_[term] = found;
  }
  return bound_[term];
}

uint32_t Terms::find_bound(Term term) {
  const Node node = nodes_[term];
  switch (node.kind) {
    case Kind::kNone:
      return kUnbounded;
    case Kind::kSet:
      return 1;
    case Kind::kEmpty:
    case Kind::kNot:
      return 0;
    case Kind::kCat: {
      uint64_t sum = 0;
      for (;; term = nodes_[term].b) {
        const bool is_last = nodes_[term].kind != Kind::kCat || bound_[term] != kUnknownBound;
        const uint32_t part = bound(is_last ? term : nodes_[term].a);
        if (part == kUnbounded) return kUnbounded;
        sum += part;
        if (is_last) return saturating(sum);
      }
    }
    case Kind::kAlt:
    case Kind::kBoth: {
      uint32_t found = node.kind == Kind::kAlt ? kUnbounded : 0;
      for (uint32_t i = 0; i < node.b; ++i) {
        const uint32_t part = bound(lists_[node.a + i]);
        found = node.kind == Kind::kAlt ? std::min(found, part) : std::max(found, part);
      }
      return found;
    }
    case Kind::kRepeat: {
      if (node.min == 0) return 0;
      const uint32_t one = bound(node.a);
      return one == kUnbounded ? kUnbounded : saturating(uint64_t{node.min} * one);
    }
    case Kind::kRule:
      return rules_[node.a].is_lazy ? rules_[node.a].least() : rules_[node.a].bound;
  }
  return 0;
}

const TermRow& Terms::row(Term term) {
  if (!rows_[term]) {
    auto made = std::make_unique<TermRow>();
    derive(term, *made);
    row_bytes_ += made->capacity() * sizeof(TermStep);
    rows_[term] = std::move(made);
  }
  return *rows_[term];
}

void Terms::derive(Term term, TermRow& out) {
  const Node node = nodes_[term];
  switch (node.kind) {
    case Kind::kNone:
    case Kind::kEmpty:
      return;
    case Kind::kSet:
      for (unsigned byte = 0; byte < 256; ++byte) {
        if (sets_[node.a].test(byte))
          append(out, static_cast<uint8_t>(byte), static_cast<uint8_t>(byte), kEmptyText);
      }
      return;
    case Kind::kCat:
      return derive_cat(node, out);
    case Kind::kAlt: {
      std::vector<const TermRow*> rows;
      for (uint32_t i = 0; i < node.b; ++i) rows.push_back(&row(lists_[node.a + i]));
      return derive_alt(rows, out);
    }
    case Kind::kBoth:
      return derive_both(term, out);
    case Kind::kNot:
      return derive_not(node, out);
    case Kind::kRepeat:
      return derive_repeat(node, out);
    case Kind::kRule: {
      if (rules_[node.a].is_busy) {  // it begins with itself: left_recursive_rule() tells beforehand
        overflowed_ = true;
        return;
      }
      rules_[node.a].is_busy = true;
      out = row(body(rules_[node.a]));
      rules_[node.a].is_busy = false;
      return;
    }
  }
}

void Terms::derive_cat(const Node& node, TermRow& out) {
  TermRow begun;
  for (const TermStep& step : row(node.a)) append(begun, step.first, step.last, cat(step.target, node.b));
  if (!nullable(node.a)) {
    out = std::move(begun);
    return;
  }
  derive_alt({&begun, &row(node.b)}, out);
}

void Terms::derive_repeat(const Node& node, TermRow& out) {
  // What may be empty can be left out as often as one likes.
  const uint32_t min = node.min > 0 && !nullable(node.a) ? node.min - 1 : 0;
  const Term rest = repeat(node.a, min, node.max == kUnbounded ? kUnbounded : node.max - 1);
  for (const TermStep& step : row(node.a)) append(out, step.first, step.last, cat(step.target, rest));
}

void Terms::derive_alt(const std::vector<const TermRow*>& rows, TermRow& out) {
  std::bitset<257> cuts;
  for (const TermRow* one : rows) {
    for (const TermStep& step : *one) {
      cuts.set(step.first);
      cuts.set(size_t{step.last} + 1);
    }
  }
  std::vector<unsigned> begins;
  std::array<uint16_t, 257> segment{};
  for (unsigned byte = 0; byte < 257; ++byte) {
    if (cuts.test(byte)) begins.push_back(byte);
    segment[byte] = static_cast<uint16_t>(begins.empty() ? 0 : begins.size() - 1);
  }
  std::vector<std::vector<Term>> targets(begins.size());
  for (const TermRow* one : rows) {
    for (const TermStep& step : *one) {
      for (size_t s = segment[step.first]; s <= segment[step.last]; ++s) targets[s].push_back(step.target);
    }
  }
  for (size_t s = 0; s + 1 < begins.size(); ++s) {
    if (targets[s].empty()) continue;
    const Term target = targets[s].size() == 1 ? targets[s][0] : alt(std::move(targets[s]));
    append(out, static_cast<uint8_t>(begins[s]), static_cast<uint8_t>(begins[s + 1] - 1), target);
  }
}

void Terms::derive_both(Term term, TermRow& out) {
  const std::vector<Term> parts(parts_of(term).begin(), parts_of(term).end());
  std::vector<const TermRow*> rows;
  for (const Term part : parts) rows.push_back(&row(part));
  std::vector<size_t> at(rows.size());
  std::vector<Term> targets(rows.size());
  for (unsigned byte = 0; byte < 256;) {
    unsigned last = 255;
    bool all = true;
    for (size_t i = 0; i < rows.size(); ++i) {
      while (at[i] < rows[i]->size() && (*rows[i])[at[i]].last < byte) ++at[i];
      if (at[i] == rows[i]->size()) return;
      const TermStep& step = (*rows[i])[at[i]];
      if (step.first > byte) {
        all = false;
        last = std::min(last, step.first - 1U);
      } else {
        targets[i] = step.target;
        last = std::min<unsigned>(last, step.last);
      }
    }
    if (all) append(out, static_cast<uint8_t>(byte), static_cast<uint8_t>(last), both(targets));
    byte = last + 1;
  }
}

void Terms::derive_not(const Node& node, TermRow& out) {
  const Term everything = no(kNothing);
  unsigned next = 0;
  const auto gap_until = [&](unsigned end) {
    if (next < end) append(out, static_cast<uint8_t>(next), static_cast<uint8_t>(end - 1), everything);
  };
  for (const TermStep& step : row(node.a)) {
    gap_until(step.first);
    append(out, step.first, step.last, no(step.target));
    next = step.last + 1U;
  }
  gap_until(256);
}

Term Terms::after(Term term, uint8_t byte) {
  const TermRow& steps = row(term);
  const auto found = std::lower_bound(steps.begin(), steps.end(), byte,
                                      [](const TermStep& step, uint8_t b) { return step.last < b; });
  return found != steps.end() && found->first <= byte ? found->target : kNothing;
}

Term Terms::after(Term term, std::string_view text) {
  for (const char c : text) {
    if (term == kNothing) break;
    term = after(term, static_cast<uint8_t>(c));
  }
  return term;
}

bool Terms::alive(Term term) {
  if (alive_[term] < 0) {
    alive_[term] = 1;  // a rule inside of itself: what counts is how it ends elsewhere
    const bool found = find_alive(term);
    alive_[term] = found ? 1 : 0;
  }
  return alive_[term] == 1;
}

bool Terms::find_alive(Term term) {
  if (bound(term) == kUnbounded) return false;
  const Node node = nodes_[term];
  switch (node.kind) {
    case Kind::kNone:
      return false;
    case Kind::kEmpty:
    case Kind::kSet:
      return true;
    case Kind::kCat:
      for (; nodes_[term].kind == Kind::kCat; term = nodes_[term].b) {
        if (!alive(nodes_[term].a)) return false;
        if (alive_[nodes_[term].b] >= 0) return alive_[nodes_[term].b] == 1;
      }
      return alive(term);
    case Kind::kAlt:
      for (uint32_t i = 0; i < node.b; ++i) {
        if (alive(lists_[node.a + i])) return true;
      }
      return false;
    case Kind::kRepeat:
      return node.min == 0 || alive(node.a);
    case Kind::kRule:
      return rules_[node.a].is_lazy || alive(rules_[node.a].body);
    case Kind::kBoth:
    case Kind::kNot:
      return !matches(term, 1, kAliveBudget).empty();
  }
  return false;
}

std::vector<std::string> Terms::matches(Term start, size_t n, size_t budget) {
  struct Way {
    uint64_t rank;  // bytes in all, at least; then what came last
    Term term;
    std::string text;
    bool operator<(const Way& other) const { return rank > other.rank; }
  };
  std::vector<std::string> found;
  std::priority_queue<Way> open;
  std::unordered_map<Term, size_t> n_visits;
  uint32_t n_made = 0;
  const auto add = [&](Term term, std::string text) {
    const uint32_t rest = bound(term);
    if (rest == kUnbounded) return;
    // Of equals the latest: down to an end, not along all ways that are as good.
    const uint64_t rank = ((text.size() + uint64_t{rest}) << 32) | (UINT32_MAX - n_made++);
    open.push({rank, term, std::move(text)});
  };
  add(start, "");
  while (!open.empty() && budget-- > 0 && found.size() < n) {
    const Way way = open.top();
    open.pop();
    if (++n_visits[way.term] > n) continue;
    if (nullable(way.term)) found.push_back(way.text);
    for (const TermStep& step : row(way.term)) {
      const auto visit = [&](unsigned byte) { add(step.target, way.text + static_cast<char>(byte)); };
      if (n == 1 || size_t{step.last} - step.first >= kNarrow) visit(step.first);
      for (unsigned byte = step.first; n > 1 && byte <= step.last; ++byte) {
        const bool is_usual = kUsualBytes.find(static_cast<char>(byte)) != std::string_view::npos;
        if (size_t{step.last} - step.first < kNarrow || (is_usual && byte != step.first)) visit(byte);
      }
    }
  }
  return found;
}

// One walk over what may come first; `seen`: 1 on the way here, 2 done.
bool Terms::starts_with_itself(Term term, std::vector<uint8_t>& seen, Term& culprit) {
  if (seen[term] != 0) return seen[term] == 1;
  seen[term] = 1;
  const Node node = nodes_[term];
  const auto look = [&](Term part) { return starts_with_itself(part, seen, culprit); };
  bool found = false;
  switch (node.kind) {
    case Kind::kCat:
      found = look(node.a) || (nullable(node.a) && look(node.b));
      break;
    case Kind::kAlt:
    case Kind::kBoth:
      for (uint32_t i = 0; i < node.b && !found; ++i) found = look(lists_[node.a + i]);
      break;
    case Kind::kNot:
    case Kind::kRepeat:
      found = look(node.a);
      break;
    case Kind::kRule:
      found = !rules_[node.a].is_lazy && look(rules_[node.a].body);
      if (found && culprit == kNothing) culprit = term;
      break;
    default:
      break;
  }
  seen[term] = 2;
  return found;
}

Term Terms::left_recursive_rule() {
  std::vector<uint8_t> seen(nodes_.size());
  for (Term term = 2; term < nodes_.size(); ++term) {
    Term culprit = kNothing;
    if (starts_with_itself(term, seen, culprit) && culprit != kNothing) return culprit;
  }
  return kNothing;
}

}  // namespace lazyfill
