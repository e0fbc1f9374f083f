// Reads JSON as it grows and tells where an object gets a key that it has, or an array an item equal to one
// that it has: no automaton of bounded size knows that. What is not JSON it does not judge.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace lazyfill {

class KeyTracker {
 public:
  // marks: JSON stands among other text, behind these, each time; with an empty one, it begins at any
  // bracket. Null: all of it is JSON.
  explicit KeyTracker(bool distinct_items = false,
                      std::shared_ptr<const std::vector<std::string>> marks = nullptr)
      : distinct_items_(distinct_items), marks_(std::move(marks)), is_outside_(marks_ != nullptr) {}
  // False: an object has now a key twice, or an array equal items.
  bool push(std::string_view text);

 private:
  struct Value;  // keys or items of one level, shared by copies until one of them adds another
  struct Level {
    bool is_object = false;
    bool at_key = false;  // the next string is a key
    size_t item = 0;      // of an array: where the latest item begins
    std::shared_ptr<const Value> values;
  };
  bool add(Level& level, std::string_view json);
  bool structural(char c);
  bool begins(char c);

  bool distinct_items_ = false;
  std::shared_ptr<const std::vector<std::string>> marks_;
  bool is_outside_ = false;      // of JSON
  bool is_behind_mark_ = false;  // and what comes next may be its first bracket
  std::string outside_;          // as much of what was read there as the longest mark has
  std::vector<Level> levels_;
  bool in_string_ = false;
  bool after_backslash_ = false;
  std::string text_;      // a key, or with distinct items all that there is
  size_t key_begin_ = 0;  // of the latest string, its quote
};

}  // namespace lazyfill
