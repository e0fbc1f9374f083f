// Which tokens of a vocabulary a term lets come next, as bits.
#pragma once

#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "decoding/terms.h"
#include "decoding/token_trie.h"

namespace lazyfill {

using TokenMask = std::vector<uint64_t>;  // [ceil(n_tokens / 64)], the lowest bit first

inline bool has_token(const TokenMask& mask, int32_t token) {
  const auto i = static_cast<size_t>(token);
  return i / 64 < mask.size() && ((mask[i / 64] >> (i % 64)) & 1) != 0;
}

// Masks of terms, each made once. Tokens that end inside of a term's first part are the same whatever stands
// behind it: they are found once for the part, and only those that reach over its end are walked again.
class TokenMasks {
 public:
  TokenMasks(Terms& terms, const TokenTrie& trie) : terms_(terms), trie_(trie) {}

  struct Part {
    TokenMask inside;             // tokens that end in the part or at its end
    std::vector<uint32_t> exits;  // nodes of the trie at which the part may end, with something below them
  };
  // What is known of a part that other terms have too.
  void share(Term part, std::shared_ptr<const Part> known) { parts_[part] = std::move(known); }
  std::shared_ptr<const Part> part_of(Term term);

  // Tokens after whose text the term can still be matched. Valid until the next call.
  const TokenMask& of(Term term);
  size_t bytes_used() const { return n_bytes_; }

 private:
  std::shared_ptr<const TokenMask> make(Term term);
  void walk(Term term, uint32_t begin, uint32_t end, TokenMask& mask, std::vector<uint32_t>* exits);
  void set(int32_t token, TokenMask& mask) const;

  Terms& terms_;
  const TokenTrie& trie_;
  std::unordered_map<Term, std::shared_ptr<const TokenMask>> masks_;
  std::unordered_map<Term, std::shared_ptr<const Part>> parts_;
  std::shared_ptr<const TokenMask> latest_;
  size_t n_bytes_ = 0;
};

}  // namespace lazyfill
