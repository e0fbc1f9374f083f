#include "tokenizer/prefix_matcher.h"

#include <algorithm>

#include "tokenizer/utf8.h"

namespace lazyfill {

PrefixMatcher::PrefixMatcher(std::vector<std::pair<std::string_view, int32_t>> literals, bool u2581_is_space)
    : literals_(std::move(literals)), u2581_is_space_(u2581_is_space) {
  // A literal that ends within a character would leave the rest of it to functions that rely on whole ones.
  std::erase_if(literals_, [](const auto& literal) {
    return literal.first.empty() || utf8::first_invalid(literal.first).has_value();
  });
  std::sort(literals_.begin(), literals_.end());
  for (size_t i = 0; i < literals_.size(); ++i) {
    Range& range = by_first_byte_[static_cast<unsigned char>(literals_[i].first[0])];
    if (range.end == 0) range.begin = static_cast<uint32_t>(i);
    range.end = static_cast<uint32_t>(i + 1);
  }
}

// Narrows a sorted range byte by byte, so that a text of nothing but "<" costs no more than any other.
PrefixMatcher::Match PrefixMatcher::longest(std::string_view text, size_t position) const {
  const auto take = [&](size_t& at) {
    if (u2581_is_space_ && text.compare(at, 3, "\xE2\x96\x81") == 0) {
      at += 3;
      return static_cast<unsigned char>(' ');
    }
    return static_cast<unsigned char>(text[at++]);
  };
  size_t at = position;
  const Range range = by_first_byte_[take(at)];
  auto begin = literals_.begin() + range.begin;
  auto end = literals_.begin() + range.end;
  Match match;
  for (size_t depth = 1; begin != end; ++depth) {
    if (begin->first.size() == depth) {  // the shortest of a common prefix is sorted first
      match = {begin->second, at - position};
      while (begin != end && begin->first.size() == depth) ++begin;
    }
    if (begin == end || at >= text.size()) break;
    const unsigned char wanted = take(at);
    const auto byte_of = [depth](const auto& literal) {
      return static_cast<unsigned char>(literal.first[depth]);
    };
    begin = std::partition_point(begin, end, [&](const auto& literal) { return byte_of(literal) < wanted; });
    end = std::partition_point(begin, end, [&](const auto& literal) { return byte_of(literal) == wanted; });
  }
  return match;
}

}  // namespace lazyfill
