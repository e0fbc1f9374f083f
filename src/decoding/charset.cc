#include "decoding/charset.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>

namespace lazyfill {
namespace {

constexpr char32_t kLast = 0x10FFFF;
using Range = std::pair<char32_t, char32_t>;
using Digits = std::vector<std::pair<unsigned, unsigned>>;  // a range for each digit

// Numbers from `first` to `last` of n digits as products of ranges of digits, the highest digit first.
void split_digits(char32_t first, char32_t last, unsigned n, unsigned bits, Digits& before,
                  std::vector<Digits>& out) {
  const char32_t mask = (char32_t{1} << (bits * (n - 1))) - 1;  // of the lower digits
  const char32_t high_first = first >> (bits * (n - 1));
  const char32_t high_last = last >> (bits * (n - 1));
  const auto with = [&](char32_t from, char32_t to, char32_t low_first, char32_t low_last) {
    if (from > to) return;
    before.emplace_back(from, to);
    if (n == 1) {
      out.push_back(before);
    } else {
      split_digits(low_first, low_last, n - 1, bits, before, out);
    }
    before.pop_back();
  };
  if (n == 1) return with(high_first, high_last, 0, 0);
  if (high_first == high_last) return with(high_first, high_first, first & mask, last & mask);
  const bool whole_first = (first & mask) == 0;
  const bool whole_last = (last & mask) == mask;
  if (!whole_first) with(high_first, high_first, first & mask, mask);
  with(high_first + (whole_first ? 0 : 1), high_last - (whole_last ? 0 : 1), 0, mask);
  if (!whole_last) with(high_last, high_last, 0, last & mask);
}

std::vector<Digits> split(char32_t first, char32_t last, unsigned n, unsigned bits) {
  std::vector<Digits> out;
  Digits before;
  split_digits(first, last, n, bits, before, out);
  return out;
}

// Calls fn with the part of [first, last] that lies in [from, to], if there is one.
template <class Fn>
void within(const Range& range, char32_t from, char32_t to, Fn fn) {
  const char32_t first = std::max(range.first, from);
  const char32_t last = std::min(range.second, to);
  if (first <= last) fn(first, last);
}

struct Utf8Length {
  char32_t first, last;
  unsigned n_bytes;
  unsigned lead;
};
constexpr Utf8Length kUtf8Lengths[] = {
    {0x80, 0x7FF, 2, 0xC0}, {0x800, 0xFFFF, 3, 0xE0}, {0x10000, kLast, 4, 0xF0}};

Term hex_digit(Terms& terms, unsigned first, unsigned last) {
  ByteSet set;
  for (unsigned digit = first; digit <= last; ++digit) {
    set.set(static_cast<unsigned char>("0123456789abcdef"[digit]));
    set.set(static_cast<unsigned char>("0123456789ABCDEF"[digit]));
  }
  return terms.set(set);
}

void add_unicode_escapes(Terms& terms, char32_t first, char32_t last, std::vector<Term>& out) {
  for (const Digits& digits : split(first, last, 4, 4)) {
    Term term = kEmptyText;
    for (size_t i = digits.size(); i-- > 0;)
      term = terms.cat(hex_digit(terms, digits[i].first, digits[i].second), term);
    out.push_back(terms.cat(terms.literal("\\u"), term));
  }
}

// Two escapes of halves: the high one, and the low ones that go with it.
void add_surrogate_pairs(Terms& terms, char32_t first, char32_t last, std::vector<Term>& out) {
  const auto add = [&](char32_t high_first, char32_t high_last, char32_t low_first, char32_t low_last) {
    if (high_first > high_last) return;
    std::vector<Term> high;
    std::vector<Term> low;
    add_unicode_escapes(terms, 0xD800 + high_first, 0xD800 + high_last, high);
    add_unicode_escapes(terms, 0xDC00 + low_first, 0xDC00 + low_last, low);
    out.push_back(terms.cat(terms.alt(high), terms.alt(low)));
  };
  first -= 0x10000;
  last -= 0x10000;
  const char32_t high_first = first >> 10;
  const char32_t high_last = last >> 10;
  if (high_first == high_last) return add(high_first, high_first, first & 0x3FF, last & 0x3FF);
  add(high_first, high_first, first & 0x3FF, 0x3FF);
  add(high_first + 1, high_last - 1, 0, 0x3FF);
  add(high_last, high_last, 0, last & 0x3FF);
}

}  // namespace

Charset Charset::all() {
  return {0, kLast};
}

Charset Charset::digits() {
  return {'0', '9'};
}

Charset Charset::word_characters() {
  Charset set('0', '9');
  set.add('A', 'Z');
  set.add('_', '_');
  set.add('a', 'z');
  return set;
}

Charset Charset::spaces() {
  Charset set('\t', '\r');
  for (const char32_t c : {0x20, 0xA0, 0x1680, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000, 0xFEFF}) set.add(c, c);
  set.add(0x2000, 0x200A);
  return set;
}

std::optional<Charset> Charset::category(std::string_view name) {
  constexpr std::pair<std::string_view, std::string_view> kLongNames[] = {{"Letter", "L"},
                                                                          {"Mark", "M"},
                                                                          {"Number", "N"},
                                                                          {"Punctuation", "P"},
                                                                          {"Symbol", "S"},
                                                                          {"Separator", "Z"},
                                                                          {"Other", "C"},
                                                                          {"Uppercase_Letter", "Lu"},
                                                                          {"Lowercase_Letter", "Ll"},
                                                                          {"Titlecase_Letter", "Lt"},
                                                                          {"Decimal_Number", "Nd"}};
  for (const auto& [long_name, short_name] : kLongNames) {
    if (name == long_name) name = short_name;
  }
  if (name == "Any") return all();
  static constexpr std::string_view kNames[] = {"Cn", "Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd",
                                                "Nl", "No", "Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po", "Sm",
                                                "Sc", "Sk", "So", "Zs", "Zl", "Zp", "Cc", "Cf", "Cs", "Co"};
  static const std::vector<Charset> kCategories = [] {
    std::vector<Charset> all_of(std::size(kNames));
    for (char32_t c = 0; c <= kLast; ++c) {
      const auto category = static_cast<size_t>(utf8proc_category(static_cast<utf8proc_int32_t>(c)));
      if (category >= all_of.size()) continue;
      std::vector<Range>& ranges = all_of[category].ranges_;
      if (!ranges.empty() && ranges.back().second + 1 == c) {
        ranges.back().second = c;
      } else {
        ranges.emplace_back(c, c);
      }
    }
    return all_of;
  }();
  bool known = false;
  Charset set;
  for (size_t i = 0; i < std::size(kNames); ++i) {
    if (name.empty() || !kNames[i].starts_with(name)) continue;
    known = true;
    set.add(kCategories[i]);
  }
  if (!known) return std::nullopt;
  return set;
}

void Charset::add(const Charset& other) {
  ranges_.insert(ranges_.end(), other.ranges_.begin(), other.ranges_.end());
}

std::vector<Range> Charset::ranges() const {
  std::vector<Range> sorted;
  for (const Range& range : ranges_) {
    within(range, 0, 0xD7FF, [&](char32_t first, char32_t last) { sorted.emplace_back(first, last); });
    within(range, 0xE000, kLast, [&](char32_t first, char32_t last) { sorted.emplace_back(first, last); });
  }
  std::sort(sorted.begin(), sorted.end());
  std::vector<Range> joined;
  for (const Range& range : sorted) {
    if (!joined.empty() && range.first <= joined.back().second + 1) {
      joined.back().second = std::max(joined.back().second, range.second);
    } else {
      joined.push_back(range);
    }
  }
  return joined;
}

Charset Charset::complement() const {
  Charset out;
  char32_t next = 0;
  for (const auto& [first, last] : ranges()) {
    if (next < first) out.add(next, first - 1);
    next = last + 1;
  }
  if (next <= kLast) out.add(next, kLast);
  return out;
}

Charset Charset::without(const Charset& other) const {
  Charset both = complement();
  both.add(other);
  return both.complement();
}

Term utf8_term(Terms& terms, const Charset& set) {
  std::vector<Term> ways;
  for (const Range& range : set.ranges()) {
    within(range, 0, 0x7F, [&](char32_t first, char32_t last) {
      ways.push_back(terms.bytes(static_cast<uint8_t>(first), static_cast<uint8_t>(last)));
    });
    for (const Utf8Length& length : kUtf8Lengths) {
      within(range, length.first, length.last, [&](char32_t first, char32_t last) {
        for (const Digits& digits : split(first, last, length.n_bytes, 6)) {
          Term term = kEmptyText;
          for (size_t i = digits.size(); i-- > 0;) {
            const unsigned mark = i == 0 ? length.lead : 0x80;
            term = terms.cat(terms.bytes(static_cast<uint8_t>(mark | digits[i].first),
                                         static_cast<uint8_t>(mark | digits[i].second)),
                             term);
          }
          ways.push_back(term);
        }
      });
    }
  }
  return terms.alt(std::move(ways));
}

Term json_term(Terms& terms, const Charset& set) {
  Charset escaped(0, 0x1F);
  escaped.add('"', '"');
  escaped.add('\\', '\\');
  std::vector<Term> ways{utf8_term(terms, set.without(escaped))};
  constexpr std::string_view kShort = "\b\f\n\r\t\"\\";
  constexpr std::string_view kLetters = "bfnrt\"\\";
  for (const Range& range : set.ranges()) {
    for (size_t i = 0; i < kShort.size(); ++i) {
      const auto c = static_cast<char32_t>(kShort[i]);
      if (range.first <= c && c <= range.second)
        ways.push_back(terms.cat(terms.literal("\\"), terms.literal(kLetters.substr(i, 1))));
    }
    // Control characters without a letter of their own, and what may also stand for itself.
    for (const auto& [from, to] : {Range{0, 7}, Range{11, 11}, Range{14, 0x1F}, Range{0x80, 0xFFFF}}) {
      within(range, from, to,
             [&](char32_t first, char32_t last) { add_unicode_escapes(terms, first, last, ways); });
    }
    within(range, 0x10000, kLast,
           [&](char32_t first, char32_t last) { add_surrogate_pairs(terms, first, last, ways); });
  }
  return terms.alt(std::move(ways));
}

}  // namespace lazyfill
