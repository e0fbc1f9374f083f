#include "decoding/token_trie.h"

#include <algorithm>

namespace lazyfill {
namespace {

constexpr size_t kMaxTokenBytes = 256;

}  // namespace

TokenTrie::TokenTrie(const Tokenizer& tokenizer, std::string (*text_of)(const Tokenizer&, int32_t))
    : n_tokens_(tokenizer.n_tokens()) {
  struct Token {
    std::string text;
    int32_t id;
  };
  std::vector<Token> tokens;
  for (size_t i = 0; i < n_tokens_; ++i) {
    const auto id = static_cast<int32_t>(i);
    if (tokenizer.is_end(id)) continue;
    std::string text = text_of(tokenizer, id);
    if (!text.empty() && text.size() <= kMaxTokenBytes) tokens.push_back({std::move(text), id});
  }
  std::sort(tokens.begin(), tokens.end(), [](const Token& a, const Token& b) {
    const int order = a.text.compare(b.text);  // as unsigned bytes
    return order != 0 ? order < 0 : a.id < b.id;
  });
  std::vector<uint32_t> path;  // the nodes that lead to the last one
  const auto close_to = [&](size_t depth) {
    while (path.size() > depth) {
      nodes_[path.back()].end = static_cast<uint32_t>(nodes_.size());
      path.pop_back();
    }
  };
  std::string_view before;
  for (const Token& token : tokens) {
    const auto [end, _] = std::mismatch(before.begin(), before.end(), token.text.begin(), token.text.end());
    const auto n_common = static_cast<size_t>(end - before.begin());
    close_to(n_common);
    for (size_t i = n_common; i < token.text.size(); ++i) {
      path.push_back(static_cast<uint32_t>(nodes_.size()));
      nodes_.push_back({static_cast<uint8_t>(token.text[i]), 0, -1});
    }
    int32_t* place = &nodes_[path.back()].token;
    if (*place >= 0) {
      alike_.resize(n_tokens_, -1);
      while (*place >= 0) place = &alike_[static_cast<size_t>(*place)];
    }
    *place = token.id;
    before = token.text;
  }
  close_to(0);
}

}  // namespace lazyfill
