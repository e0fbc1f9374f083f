// Filling in the middle of a text by whole lines (FIM-SE, arXiv 2405.17103): an output begins with what the
// first line has already, and is over where the last line goes on. What stands between is new.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "decoding/guide.h"

namespace lazyfill {

// Finds the first place at which a text that comes byte by byte ends with another one (Knuth, Morris and
// Pratt 1977).
class EndFinder {
 public:
  explicit EndFinder(std::string end);
  // So many of the end's first bytes the text ends with, after one more byte. Not asked once all are there.
  size_t next(size_t n_matched, uint8_t byte) const;
  const std::string& end() const { return end_; }

 private:
  std::string end_;
  std::vector<uint32_t> border_;  // [n + 1] of the first n bytes: the longest that they begin and end with
};

// An output under a guide of the kind kLines: first `begin`, then any valid UTF-8, over at the first `end`
// behind `begin`. The two do not overlap, so no byte of either is shared.
std::unique_ptr<Constraint> start_lines(std::shared_ptr<Guide> guide);

// Takes such an output as it comes, in whole characters, and gives what is new. What could turn out to be the
// end is held back, and is never given: where an answer is cut in it, its beginning would stand there twice.
class MiddleText {
 public:
  MiddleText(std::string begin, std::string end) : begin_(std::move(begin)), finder_(std::move(end)) {}
  std::string push(std::string_view text);

 private:
  std::string begin_;
  EndFinder finder_;
  size_t n_begin_ = 0;
  size_t n_held_ = 0;  // first bytes of the end
};

}  // namespace lazyfill
