// The texts of a vocabulary as a tree of bytes, in the order of a walk: what stands below a node follows it,
// so that a walk that turns away skips it with one jump.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tokenizer/tokenizer.h"

namespace lazyfill {

class TokenTrie {
 public:
  // Tokens without a text, those that end an answer and very long ones are not in it. text_of: what a guide's
  // terms know a token by.
  TokenTrie(const Tokenizer& tokenizer, std::string (*text_of)(const Tokenizer&, int32_t));

  struct Node {
    uint8_t byte = 0;
    uint32_t end = 0;    // the first node that does not stand below this one
    int32_t token = -1;  // that ends here; -1: none
  };
  const std::vector<Node>& nodes() const { return nodes_; }
  // Another token of the same text; -1: none.
  int32_t next_alike(int32_t token) const {
    const auto i = static_cast<size_t>(token);
    return i < alike_.size() ? alike_[i] : -1;
  }
  size_t n_tokens() const { return n_tokens_; }  // of the vocabulary

 private:
  std::vector<Node> nodes_;
  std::vector<int32_t> alike_;  // [n_tokens], empty where no two are alike
  size_t n_tokens_ = 0;
};

}  // namespace lazyfill
