// SentencePiece's rules of normalisation as a model carries them (tokenizer.ggml.precompiled_charsmap): which
// sequences of bytes are replaced by what. The rules nmt_nfkc of T5, XLM-R and others are some 10,000
// entries.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lazyfill/error.h"

namespace lazyfill {

class CharacterMap {
 public:
  struct Match {
    size_t n_bytes = 0;  // of the text; 0: no rule
    std::string_view replacement;
  };

  CharacterMap() = default;
  // `bytes`: the size of a double array in bytes as a 32-bit number, the array in the form of the library
  // darts-clone, replacements that end in a zero. Everything that a walk can reach is checked when it is
  // reached.
  static Result<CharacterMap> read(std::span<const std::byte> bytes);

  bool empty() const { return units_.empty(); }
  // The longest rule that applies at the beginning of `text`.
  Match longest(std::string_view text) const;

 private:
  std::vector<uint32_t> units_;
  std::string replacements_;  // ends in a zero when not empty
};

}  // namespace lazyfill
