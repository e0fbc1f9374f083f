// A radix tree over tokens: what sequences begin with, each piece once, with what is kept of it.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "cache/cache_part.h"

namespace lazyfill {

// Bytes of parts that are held, each counted once however many hold it.
class PartCounter {
 public:
  void add(const CachePart& part);
  void remove(const CachePart& part);
  uint64_t bytes() const { return bytes_; }

 private:
  std::map<const CachePart*, size_t> n_holders_;
  uint64_t bytes_ = 0;
};

class TokenTree {
 public:
  // Some tokens that follow those of the parent. They are no more than kMostTokens, so that what is left of a
  // part when others leave is no large one.
  struct Node {
    std::vector<int32_t> tokens;
    TokenIndex begin = 0;                   // of the first of them
    std::shared_ptr<const CachePart> part;  // of these tokens at least; null: nothing is kept
    size_t n_users = 0;                     // sequences that go through here
    Node* parent = nullptr;
    std::map<int32_t, std::unique_ptr<Node>> children;  // by first token
    TokenIndex end() const { return begin + static_cast<TokenIndex>(tokens.size()); }
  };
  static constexpr size_t kMostTokens = 256;

  explicit TokenTree(PartCounter& counter) : counter_(counter) {}

  // The nodes that agree with the tokens, from the first on, and how many tokens do: the last node may agree
  // in part.
  struct Match {
    std::vector<Node*> path;
    size_t n_tokens = 0;
  };
  Match find(std::span<const int32_t> tokens);

  // Makes nodes end where the tokens end, and at `cut`, and counts one user more of all of them. Returns
  // them. Throws std::bad_alloc, and then nothing is used.
  std::vector<Node*> use(std::span<const int32_t> tokens, size_t cut);
  // One user less; nodes that nobody uses go. Takes no memory, for it is what makes room.
  void release(std::span<const int32_t> tokens);

  void set_part(Node& node, std::shared_ptr<const CachePart> part);
  bool empty() const { return root_.children.empty(); }

 private:
  void split(Node& node, size_t n_tokens);
  void extend(Node* node, std::span<const int32_t> tokens);
  void make(std::span<const int32_t> tokens);
  Node* last_within(std::span<const int32_t> tokens);

  PartCounter& counter_;
  Node root_;
};

}  // namespace lazyfill
