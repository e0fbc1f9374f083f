// Where a JSON object or array ends that comes a character at a time, and what an object consists of.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace lazyfill {

class JsonScanner {
 public:
  enum class State {
    kMore,    // so far it may become one
    kDone,    // with this character it is whole
    kBroken,  // this character cannot stand here
  };
  // The first character is { or [. Not called again after kDone or kBroken.
  State push(char c);

 private:
  enum class Next { kValue, kFirstValue, kFirstKey, kKey, kColon, kComma, kString, kEscape, kHex, kWord };

  State begin_value(char c);
  State end_value();
  State push_outside(char c);
  State push_string(char c);

  Next next_ = Next::kValue;
  std::string open_;  // brackets
  std::string word_;  // a number or a literal
  bool is_key_ = false;
  int n_hex_ = 0;
};

// A member of an object: the text between the quotes of its key, and its value as it is written.
struct JsonMember {
  std::string_view key;
  std::string_view value;
};
// Of a text that is a valid JSON object.
std::vector<JsonMember> json_members(std::string_view object);
// The values of a valid JSON array.
std::vector<std::string_view> json_elements(std::string_view array);

}  // namespace lazyfill
