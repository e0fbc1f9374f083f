#include "decoding/token_mask.h"

#include <utility>

namespace lazyfill {

const TokenMask& TokenMasks::of(Term term) {
  latest_ = make(term);
  return *latest_;
}

void TokenMasks::set(int32_t token, TokenMask& mask) const {
  for (; token >= 0; token = trie_.next_alike(token)) {
    const auto i = static_cast<size_t>(token);
    mask[i / 64] |= uint64_t{1} << (i % 64);
  }
}

// The children of a node and the steps of a row are both in the order of their bytes.
void TokenMasks::walk(Term term, uint32_t begin, uint32_t end, TokenMask& mask,
                      std::vector<uint32_t>* exits) {
  const std::vector<TokenTrie::Node>& nodes = trie_.nodes();
  const TermRow& row = terms_.row(term);
  auto step = row.begin();
  for (uint32_t i = begin; i < end; i = nodes[i].end) {
    while (step != row.end() && step->last < nodes[i].byte) ++step;
    if (step == row.end()) return;
    if (step->first > nodes[i].byte || !terms_.alive(step->target)) continue;
    const Term target = step->target;
    set(nodes[i].token, mask);
    if (nodes[i].end == i + 1) continue;
    if (exits != nullptr && terms_.nullable(target)) exits->push_back(i);
    if (target != kEmptyText) walk(target, i + 1, nodes[i].end, mask, exits);
  }
}

std::shared_ptr<const TokenMasks::Part> TokenMasks::part_of(Term term) {
  std::shared_ptr<const Part>& part = parts_[term];
  if (!part) {
    auto made = std::make_shared<Part>();
    made->inside.resize((trie_.n_tokens() + 63) / 64);
    walk(term, 0, static_cast<uint32_t>(trie_.nodes().size()), made->inside, &made->exits);
    n_bytes_ += made->inside.size() * sizeof(uint64_t) + made->exits.capacity() * sizeof(uint32_t);
    part = std::move(made);
  }
  return part;
}

std::shared_ptr<const TokenMask> TokenMasks::make(Term term) {
  if (const auto found = masks_.find(term); found != masks_.end()) return found->second;
  auto mask = std::make_shared<TokenMask>((trie_.n_tokens() + 63) / 64);
  const auto join = [&](const TokenMask& other) {
    for (size_t i = 0; i < mask->size(); ++i) (*mask)[i] |= other[i];
  };
  const auto n_nodes = static_cast<uint32_t>(trie_.nodes().size());
  if (!terms_.alive(term)) {
  } else if (terms_.is_alt(term)) {
    const std::vector<Term> ways(terms_.parts_of(term).begin(), terms_.parts_of(term).end());
    for (const Term way : ways) join(*make(way));
  } else if (terms_.is_cat(term)) {
    // What may be empty is taken together with what follows, or the part would end everywhere.
    std::vector<Term> firsts{terms_.first_of(term)};
    Term rest = terms_.rest_of(term);
    while (terms_.nullable(firsts.back()) && terms_.is_cat(rest)) {
      firsts.push_back(terms_.first_of(rest));
      rest = terms_.rest_of(rest);
    }
    if (terms_.nullable(firsts.back())) {  // all of it may be empty
      walk(term, 0, n_nodes, *mask, nullptr);
    } else {
      Term part = kEmptyText;
      for (size_t i = firsts.size(); i-- > 0;) part = terms_.cat(firsts[i], part);
      const std::shared_ptr<const Part> found = part_of(part);
      join(found->inside);
      for (const uint32_t node : found->exits) walk(rest, node + 1, trie_.nodes()[node].end, *mask, nullptr);
    }
  } else {
    walk(term, 0, n_nodes, *mask, nullptr);
  }
  n_bytes_ += mask->size() * sizeof(uint64_t);
  masks_.emplace(term, mask);
  return mask;
}

}  // namespace lazyfill
