// Texts of JSON values as terms: how what a schema speaks of is written down.
//
// One value has many texts, and not all of them are wanted in an answer. Here numbers have no superfluous
// zeros in front, no "-0" and no long exponents, strings escape what they must (and may escape what is not
// ASCII), and between the parts there is nothing, a space, or a new line with indentation.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "decoding/terms.h"
#include "lazyfill/error.h"

namespace lazyfill {

// A schema's texts are enclosed from two sides. What a keyword cannot tell exactly it leaves out of the one
// and keeps in the other; "not" takes one for the other. So an answer's texts are valid in any case.
enum class Side {
  kUnder,  // every text of it is valid
  kOver,   // every text that is valid is one of it
};
inline Side other(Side side) {
  return side == Side::kUnder ? Side::kOver : Side::kUnder;
}

// A number in decimal digits: 12.5 is "12" and "5".
struct Decimal {
  bool negative = false;
  std::string whole = "0";  // no zeros in front
  std::string fraction;     // no zeros at its end
  bool is_zero() const { return whole == "0" && fraction.empty(); }
  // Nothing: it has hundreds of digits, or more than a double holds exactly.
  static std::optional<Decimal> read(const nlohmann::json& number);
};

struct NumberLimits {
  struct Limit {
    Decimal value;
    bool strict = false;
  };
  bool integer = false;
  std::vector<Limit> least, most;
  std::vector<Decimal> multiples;
  bool any() const { return integer || !least.empty() || !most.empty() || !multiples.empty(); }
};

class JsonTexts {
 public:
  explicit JsonTexts(Terms& terms);

  Term space() const { return space_; }            // between parts
  Term characters() const { return characters_; }  // of a string, any number of them
  Term character() const { return character_; }
  Term quoted(Term body) { return terms_.cat({quote_, body, quote_}); }
  // A text as the body of a string, in all its spellings.
  Term body(std::string_view text);
  // Errors: a multiple that is too fine.
  Result<Term> number(const NumberLimits& limits, Side side);
  // One value, in all its spellings; arrays and objects are the caller's.
  std::optional<Term> scalar(const nlohmann::json& value, Side side);

 private:
  Term digits(uint32_t min, uint32_t max) { return terms_.repeat(digit_, min, max); }
  Term digit_range(int first, int last);
  Term any_fraction(bool integer);
  Term at_least(const Decimal& value, bool strict, bool integer);
  Term at_most(const Decimal& value, bool strict, bool integer);
  Term fraction_at_least(const std::string& fraction, bool strict, bool integer);
  Term fraction_at_most(const std::string& fraction, bool strict, bool integer);
  Term magnitude(bool integer) { return at_least({}, false, integer); }
  std::optional<Term> multiple(const Decimal& value, bool integer);
  Term with_exponent();

  Terms& terms_;
  Term digit_, quote_, dot_, space_, character_, characters_;
};

}  // namespace lazyfill
