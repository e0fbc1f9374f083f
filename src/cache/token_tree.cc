#include "cache/token_tree.h"

#include <algorithm>
#include <cassert>
#include <utility>

#include "base/common_prefix.h"

namespace lazyfill {

void PartCounter::add(const CachePart& part) {
  if (n_holders_[&part]++ == 0) bytes_ += part.bytes();
}

void PartCounter::remove(const CachePart& part) {
  const auto holders = n_holders_.find(&part);
  if (--holders->second > 0) return;
  n_holders_.erase(holders);
  bytes_ -= part.bytes();
}

TokenTree::Match TokenTree::find(std::span<const int32_t> tokens) {
  Match match;
  for (Node* node = &root_;;) {
    if (match.n_tokens == tokens.size()) return match;
    const auto child = node->children.find(tokens[match.n_tokens]);
    if (child == node->children.end()) return match;
    node = child->second.get();
    const size_t n = common_prefix(node->tokens, tokens.subspan(match.n_tokens));
    match.path.push_back(node);
    match.n_tokens += n;
    if (n < node->tokens.size()) return match;
  }
}

std::vector<TokenTree::Node*> TokenTree::use(std::span<const int32_t> tokens, size_t cut) {
  std::vector<Node*> path;
  try {
    if (cut > 0) make(tokens.first(cut));
    make(tokens);
    path = find(tokens).path;
  } catch (...) {
    for (Node* node = last_within(tokens); node != &root_ && node->n_users == 0;) {
      const int32_t first = node->tokens[0];
      node = node->parent;
      node->children.erase(first);
    }
    throw;
  }
  for (Node* node : path) ++node->n_users;
  return path;
}

// The last node of which all tokens are these.
TokenTree::Node* TokenTree::last_within(std::span<const int32_t> tokens) {
  for (Node* node = &root_;;) {
    const std::span<const int32_t> rest = tokens.subspan(static_cast<size_t>(node->end()));
    if (rest.empty()) return node;
    const auto child = node->children.find(rest[0]);
    if (child == node->children.end()) return node;
    const std::vector<int32_t>& next = child->second->tokens;
    if (next.size() > rest.size() || !std::equal(next.begin(), next.end(), rest.begin())) return node;
    node = child->second.get();
  }
}

// Nodes that end where the tokens end.
void TokenTree::make(std::span<const int32_t> tokens) {
  const Match match = find(tokens);
  Node* last = match.path.empty() ? &root_ : match.path.back();
  const size_t n_of_last = match.n_tokens - static_cast<size_t>(last->begin);
  if (n_of_last < last->tokens.size()) split(*last, n_of_last);
  extend(last, tokens.subspan(match.n_tokens));
}

// The node keeps the first n tokens, and a child gets the rest; both have the part.
void TokenTree::split(Node& node, size_t n_tokens) {
  // Memory first: what throws here has changed nothing.
  std::map<int32_t, std::unique_ptr<Node>> children;
  Node& rest = *(children[node.tokens[n_tokens]] = std::make_unique<Node>());
  rest.tokens.assign(node.tokens.begin() + static_cast<std::ptrdiff_t>(n_tokens), node.tokens.end());
  rest.begin = node.begin + static_cast<TokenIndex>(n_tokens);
  rest.n_users = node.n_users;
  rest.parent = &node;
  if (node.part != nullptr) set_part(rest, node.part);
  rest.children.swap(node.children);
  for (auto& [_, child] : rest.children) child->parent = &rest;
  node.children.swap(children);
  node.tokens.resize(n_tokens);
}

void TokenTree::extend(Node* node, std::span<const int32_t> tokens) {
  while (!tokens.empty()) {
    const size_t n = std::min(tokens.size(), kMostTokens);
    auto next = std::make_unique<Node>();
    next->tokens.assign(tokens.begin(), tokens.begin() + static_cast<std::ptrdiff_t>(n));
    next->begin = node->end();
    next->parent = node;
    node = (node->children[tokens[0]] = std::move(next)).get();
    tokens = tokens.subspan(n);
  }
}

void TokenTree::release(std::span<const int32_t> tokens) {
  Node* node = last_within(tokens);
  assert(static_cast<size_t>(node->end()) == tokens.size());
  while (node != &root_) {
    Node* parent = node->parent;
    if (--node->n_users == 0) {
      const int32_t first = node->tokens[0];
      set_part(*node, nullptr);
      parent->children.erase(first);
    }
    node = parent;
  }
}

void TokenTree::set_part(Node& node, std::shared_ptr<const CachePart> part) {
  if (part != nullptr) counter_.add(*part);
  if (node.part != nullptr) counter_.remove(*node.part);
  node.part = std::move(part);
}

}  // namespace lazyfill
