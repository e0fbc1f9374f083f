#include "cache/token_tree.h"

#include <algorithm>
#include <cassert>
#include <utility>

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
    const std::span<const int32_t> rest = tokens.subspan(match.n_tokens);
    const size_t most = std::min(rest.size(), node->tokens.size());
    const auto at = std::mismatch(node->tokens.begin(),
                                  node->tokens.begin() + static_cast<std::ptrdiff_t>(most), rest.begin());
    const auto n = static_cast<size_t>(at.first - node->tokens.begin());
    match.path.push_back(node);
    match.n_tokens += n;
    if (n < node->tokens.size()) return match;
  }
}

std::vector<TokenTree::Node*> TokenTree::use(std::span<const int32_t> tokens, size_t cut) {
  if (cut > 0) make(tokens.first(cut));
  make(tokens);
  std::vector<Node*> path = find(tokens).path;
  for (Node* node : path) ++node->n_users;
  return path;
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
  auto rest = std::make_unique<Node>();
  rest->tokens.assign(node.tokens.begin() + static_cast<std::ptrdiff_t>(n_tokens), node.tokens.end());
  rest->begin = node.begin + static_cast<TokenIndex>(n_tokens);
  rest->n_users = node.n_users;
  rest->parent = &node;
  rest->children = std::move(node.children);
  for (auto& [_, child] : rest->children) child->parent = rest.get();
  node.children.clear();
  if (node.part != nullptr) set_part(*rest, node.part);
  node.tokens.resize(n_tokens);
  const int32_t first = rest->tokens[0];
  node.children[first] = std::move(rest);
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
  const Match match = find(tokens);
  assert(match.n_tokens == tokens.size());
  for (auto node = match.path.rbegin(); node != match.path.rend(); ++node) {
    if (--(*node)->n_users > 0) continue;
    set_part(**node, nullptr);
    Node* parent = (*node)->parent;
    const int32_t first = (*node)->tokens[0];
    parent->children.erase(first);
  }
}

void TokenTree::set_part(Node& node, std::shared_ptr<const CachePart> part) {
  if (part != nullptr) counter_.add(*part);
  if (node.part != nullptr) counter_.remove(*node.part);
  node.part = std::move(part);
}

}  // namespace lazyfill
