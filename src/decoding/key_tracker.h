// Reads JSON as it grows and tells where an object gets a key that it has, or an array an item equal to one
// that it has: no automaton of bounded size knows that. What is not JSON it does not judge.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace lazyfill {

class KeyTracker {
 public:
  explicit KeyTracker(bool distinct_items = false) : distinct_items_(distinct_items) {}
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

  bool distinct_items_ = false;
  std::vector<Level> levels_;
  bool in_string_ = false;
  bool after_backslash_ = false;
  std::string text_;      // a key, or with distinct items all that there is
  size_t key_begin_ = 0;  // of the latest string, its quote
};

}  // namespace lazyfill
