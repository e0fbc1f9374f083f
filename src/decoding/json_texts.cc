#include "decoding/json_texts.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "decoding/charset.h"
#include "tokenizer/utf8.h"

namespace lazyfill {
namespace {

constexpr uint32_t kMostIndentation = 80;
constexpr size_t kMostDigits = 200;
constexpr uint64_t kMostResidues = 20'000;  // states of an automaton for multiples
constexpr double kExactIntegers = 9007199254740992.0;

}  // namespace

std::optional<Decimal> Decimal::read(const nlohmann::json& number) {
  if (number.is_number_float()) {
    const auto value = number.get<double>();
    if (!std::isfinite(value) || std::fabs(value) > kExactIntegers) return std::nullopt;
  }
  std::string text = number.dump();
  Decimal made;
  if (text.starts_with('-')) {
    made.negative = true;
    text.erase(0, 1);
  }
  long exponent = 0;
  if (const size_t e = text.find_first_of("eE"); e != std::string::npos) {
    exponent = std::strtol(text.c_str() + e + 1, nullptr, 10);
    text.resize(e);
  }
  const size_t dot = std::min(text.find('.'), text.size());
  std::string digits = text;
  if (dot < text.size()) digits.erase(dot, 1);
  long point = static_cast<long>(dot) + exponent;  // where it stands in the digits
  if (std::labs(point) > static_cast<long>(kMostDigits)) return std::nullopt;
  if (point < 1) {
    digits.insert(digits.begin(), static_cast<size_t>(1 - point), '0');
    point = 1;
  }
  while (digits.size() < static_cast<size_t>(point)) digits += '0';
  made.whole = digits.substr(0, static_cast<size_t>(point));
  made.fraction = digits.substr(static_cast<size_t>(point));
  made.whole.erase(0, std::min(made.whole.find_first_not_of('0'), made.whole.size() - 1));
  made.fraction.erase(made.fraction.find_last_not_of('0') + 1);
  if (made.is_zero()) made.negative = false;
  return made;
}

JsonTexts::JsonTexts(Terms& terms)
    : terms_(terms), digit_(terms.bytes('0', '9')), quote_(terms.literal("\"")), dot_(terms.literal(".")) {
  const Term indentation =
      terms.repeat(terms.alt({terms.literal(" "), terms.literal("\t")}), 0, kMostIndentation);
  space_ = terms.optional(terms.alt({terms.literal(" "), terms.cat(terms.literal("\n"), indentation)}));
  character_ = json_term(terms, Charset::all());
  characters_ = terms.repeat(character_, 0, kUnbounded);
}

Term JsonTexts::body(std::string_view text) {
  std::vector<Term> parts;
  for (size_t at = 0; at < text.size();) {
    const utf8::Decoded c = utf8::decode(text, at);
    if (c.n_bytes == 0) return kNothing;
    parts.push_back(json_term(terms_, {c.code_point, c.code_point}));
    at += c.n_bytes;
  }
  Term term = kEmptyText;
  for (size_t i = parts.size(); i-- > 0;) term = terms_.cat(parts[i], term);
  return term;
}

Term JsonTexts::digit_range(int first, int last) {
  if (first > last) return kNothing;
  return terms_.bytes(static_cast<uint8_t>('0' + first), static_cast<uint8_t>('0' + last));
}

Term JsonTexts::any_fraction(bool integer) {
  return integer ? kEmptyText : terms_.optional(terms_.cat(dot_, digits(1, kUnbounded)));
}

Term JsonTexts::fraction_at_least(const std::string& fraction, bool strict, bool integer) {
  if (integer) return fraction.empty() && !strict ? kEmptyText : kNothing;
  const Term any = digits(0, kUnbounded);
  const Term above_zero = terms_.cat({any, digit_range(1, 9), any});
  if (fraction.empty()) return strict ? terms_.cat(dot_, above_zero) : any_fraction(false);
  Term term = strict ? above_zero : any;
  for (size_t i = fraction.size(); i-- > 0;) {
    const int digit = fraction[i] - '0';
    term =
        terms_.alt({terms_.cat(digit_range(digit + 1, 9), any), terms_.cat(digit_range(digit, digit), term)});
  }
  return terms_.cat(dot_, term);
}

Term JsonTexts::fraction_at_most(const std::string& fraction, bool strict, bool integer) {
  const bool none_fits = !fraction.empty() || !strict;
  if (integer) return none_fits ? kEmptyText : kNothing;
  const Term zeros = terms_.repeat(digit_range(0, 0), 0, kUnbounded);
  if (fraction.empty())
    return strict ? kNothing : terms_.optional(terms_.cat({dot_, digit_range(0, 0), zeros}));
  Term term = strict ? kNothing : zeros;  // behind all of its digits
  for (size_t i = fraction.size(); i-- > 0;) {
    const int digit = fraction[i] - '0';
    const bool is_last = i + 1 == fraction.size();
    const Term equal = is_last ? term : terms_.alt({kEmptyText, term});  // shorter is less
    term = terms_.alt({terms_.cat(digit_range(0, digit - 1), digits(0, kUnbounded)),
                       terms_.cat(digit_range(digit, digit), equal)});
  }
  return terms_.optional(terms_.cat(dot_, term));
}

// Of numbers that are not negative.
Term JsonTexts::at_least(const Decimal& value, bool strict, bool integer) {
  const std::string& whole = value.whole;
  const auto n = static_cast<uint32_t>(whole.size());
  Term same_length = fraction_at_least(value.fraction, strict, integer);
  for (size_t i = n; i-- > 0;) {
    const int digit = whole[i] - '0';
    const auto rest = static_cast<uint32_t>(n - i - 1);
    same_length =
        terms_.alt({terms_.cat({digit_range(digit + 1, 9), digits(rest, rest), any_fraction(integer)}),
                    terms_.cat(digit_range(digit, digit), same_length)});
  }
  const Term longer = terms_.cat({digit_range(1, 9), digits(n, kUnbounded), any_fraction(integer)});
  return terms_.alt({same_length, longer});
}

Term JsonTexts::at_most(const Decimal& value, bool strict, bool integer) {
  const std::string& whole = value.whole;
  const auto n = static_cast<uint32_t>(whole.size());
  Term same_length = fraction_at_most(value.fraction, strict, integer);
  for (size_t i = n; i-- > 0;) {
    const int digit = whole[i] - '0';
    const int lowest = i == 0 && n > 1 ? 1 : 0;
    const auto rest = static_cast<uint32_t>(n - i - 1);
    same_length =
        terms_.alt({terms_.cat({digit_range(lowest, digit - 1), digits(rest, rest), any_fraction(integer)}),
                    terms_.cat(digit_range(digit, digit), same_length)});
  }
  if (n == 1) return same_length;
  const Term shorter = terms_.alt({digit_range(0, 0), terms_.cat(digit_range(1, 9), digits(0, n - 2))});
  return terms_.alt({same_length, terms_.cat(shorter, any_fraction(integer))});
}

// An automaton over residues. Of the fraction it knows how many digits there were.
std::optional<Term> JsonTexts::multiple(const Decimal& value, bool integer) {
  const std::string scaled = value.whole + value.fraction;
  const size_t n_places = value.fraction.size();
  if (value.negative || value.is_zero() || scaled.size() > 9) return std::nullopt;
  const uint64_t modulus = std::stoull(scaled);
  if (modulus * (n_places + 2) > kMostResidues) return std::nullopt;
  // states[0]: before the point; states[1 + j]: behind it, after j digits.
  std::vector<std::vector<Term>> states(integer ? 1 : n_places + 2);
  for (auto& row : states) {
    for (uint64_t r = 0; r < modulus; ++r) row.push_back(terms_.rule());
  }
  const auto fits = [&](uint64_t residue, size_t n_more) {
    for (size_t i = 0; i < n_more; ++i) residue = residue * 10 % modulus;
    return residue == 0;
  };
  for (size_t s = 0; s < states.size(); ++s) {
    const size_t n_done = s == 0 ? 0 : s - 1;
    for (uint64_t r = 0; r < modulus; ++r) {
      std::vector<Term> ways;
      if (fits(r, n_places - n_done)) ways.push_back(kEmptyText);
      const bool only_zeros = s > 0 && n_done == n_places;
      for (int digit = 0; digit <= (only_zeros ? 0 : 9); ++digit) {
        const size_t next = s == 0 ? 0 : std::min(s + 1, states.size() - 1);
        const uint64_t residue = only_zeros ? r : (r * 10 + static_cast<uint64_t>(digit)) % modulus;
        ways.push_back(terms_.cat(digit_range(digit, digit), states[next][residue]));
      }
      if (s == 0 && !integer) {
        // At least one digit stands behind the point.
        const bool zeros = n_places == 0;
        for (int digit = 0; digit <= (zeros ? 0 : 9); ++digit) {
          const uint64_t residue = zeros ? r : (r * 10 + static_cast<uint64_t>(digit)) % modulus;
          ways.push_back(terms_.cat({dot_, digit_range(digit, digit), states[zeros ? 1 : 2][residue]}));
        }
      }
      terms_.define(states[s][r], terms_.alt(std::move(ways)));
    }
  }
  std::vector<Term> starts;
  for (int digit = 0; digit <= 9; ++digit)
    starts.push_back(
        terms_.cat(digit_range(digit, digit), states[0][static_cast<uint64_t>(digit) % modulus]));
  return terms_.both({terms_.alt(std::move(starts)), magnitude(integer)});
}

Term JsonTexts::with_exponent() {
  const Term sign = terms_.optional(terms_.alt({terms_.literal("+"), terms_.literal("-")}));
  const Term exponent =
      terms_.cat({terms_.alt({terms_.literal("e"), terms_.literal("E")}), sign, digits(1, 2)});
  return terms_.cat({terms_.optional(terms_.literal("-")), magnitude(false), exponent});
}

Result<Term> JsonTexts::number(const NumberLimits& limits, Side side) {
  const Term above_zero = at_least({}, true, limits.integer);
  std::vector<Term> positive{magnitude(limits.integer)};
  std::vector<Term> negative{above_zero};
  for (const auto& [value, strict] : limits.least) {
    if (value.negative) {
      negative.push_back(at_most(value, strict, limits.integer));
    } else {
      positive.push_back(at_least(value, strict, limits.integer));
      negative.push_back(kNothing);
    }
  }
  for (const auto& [value, strict] : limits.most) {
    if (value.negative || (value.is_zero() && strict)) positive.push_back(kNothing);
    if (value.negative) {
      negative.push_back(at_least(value, strict, limits.integer));
    } else if (!(value.is_zero() && strict)) {
      positive.push_back(at_most(value, strict, limits.integer));
    }
  }
  for (const Decimal& value : limits.multiples) {
    const auto term = multiple(value, limits.integer);
    if (!term) {
      if (side == Side::kOver) continue;
      return fail(
          ErrorCode::kUnsupported,
          "\"multipleOf\" of the schema must be above 0 and have few digits; another one is not supported");
    }
    positive.push_back(*term);
    negative.push_back(*term);
  }
  std::vector<Term> ways{terms_.both(positive), terms_.cat(terms_.literal("-"), terms_.both(negative))};
  if (side == Side::kOver || !limits.any()) ways.push_back(with_exponent());
  if (side == Side::kOver && limits.integer) {  // 1.0 is an integer
    NumberLimits same = limits;
    same.integer = false;
    auto with_fraction = number(same, side);
    if (!with_fraction) return with_fraction;
    const Term sign = terms_.optional(terms_.literal("-"));
    const Term zeros = terms_.cat(dot_, terms_.repeat(digit_range(0, 0), 1, kUnbounded));
    ways.push_back(terms_.both({*with_fraction, terms_.cat({sign, magnitude(true), zeros})}));
  }
  return terms_.alt(std::move(ways));
}

std::optional<Term> JsonTexts::scalar(const nlohmann::json& value, Side side) {
  if (value.is_string()) return quoted(body(value.get_ref<const std::string&>()));
  if (!value.is_number()) return terms_.literal(value.dump());
  const auto decimal = Decimal::read(value);
  if (!decimal) return std::nullopt;
  const Term sign = decimal->negative ? terms_.literal("-") : kEmptyText;
  const Term zeros = terms_.repeat(digit_range(0, 0), 0, kUnbounded);
  Term fraction =
      decimal->fraction.empty() ? kEmptyText : terms_.cat(dot_, terms_.literal(decimal->fraction));
  if (side == Side::kOver) {
    fraction = decimal->fraction.empty() ? terms_.optional(terms_.cat({dot_, digit_range(0, 0), zeros}))
                                         : terms_.cat(fraction, zeros);
  } else if (decimal->fraction.empty() && value.is_number_float()) {
    fraction = terms_.optional(terms_.literal(".0"));
  }
  const Term plain = terms_.cat({sign, terms_.literal(decimal->whole), fraction});
  return side == Side::kOver ? terms_.alt({plain, with_exponent()}) : plain;
}

}  // namespace lazyfill
