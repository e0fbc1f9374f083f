// Sets of characters, and the byte strings that stand for them.
#pragma once

#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "decoding/terms.h"

namespace lazyfill {

class Charset {
 public:
  Charset() = default;
  Charset(char32_t first, char32_t last) : ranges_{{first, last}} {}
  // Characters that exist: all but the halves of surrogate pairs.
  static Charset all();
  static Charset digits();
  static Charset word_characters();
  static Charset spaces();
  // By the short or long name of a general category or of one of its groups ("L", "Lu", "Letter"); nothing
  // where there is none of that name.
  static std::optional<Charset> category(std::string_view name);

  void add(char32_t first, char32_t last) { ranges_.emplace_back(first, last); }
  void add(const Charset& other);
  Charset complement() const;
  Charset without(const Charset& other) const;
  // Ascending, apart, without surrogates.
  std::vector<std::pair<char32_t, char32_t>> ranges() const;

 private:
  std::vector<std::pair<char32_t, char32_t>> ranges_;
};

// One character of the set, in UTF-8.
Term utf8_term(Terms& terms, const Charset& set);
// One character of the set as a text in JSON may spell it: itself, where it must be escaped its escape, and
// beyond ASCII also \uXXXX.
Term json_term(Terms& terms, const Charset& set);

// How a character is spelled.
using CharacterTerm = Term (*)(Terms&, const Charset&);

}  // namespace lazyfill
