// Which of a set of literal tokens starts at a place in a text: the longest one wins.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace lazyfill {

class PrefixMatcher {
 public:
  struct Match {
    int32_t id = -1;     // -1: none
    size_t n_bytes = 0;  // of the text
  };

  PrefixMatcher() = default;
  // The views must outlive the matcher; empty strings and what is no valid UTF-8 are left out.
  // `u2581_is_space`: a text's U+2581 is a space to it; the literals hold spaces only.
  explicit PrefixMatcher(std::vector<std::pair<std::string_view, int32_t>> literals,
                         bool u2581_is_space = false);

  bool empty() const { return literals_.empty(); }
  Match longest(std::string_view text, size_t position) const;

 private:
  struct Range {
    uint32_t begin = 0;
    uint32_t end = 0;
  };
  std::vector<std::pair<std::string_view, int32_t>> literals_;  // sorted
  std::array<Range, 256> by_first_byte_{};
  bool u2581_is_space_ = false;
};

}  // namespace lazyfill
