#include "conversation/json_scanner.h"

#include <cctype>
#include <nlohmann/json.hpp>

namespace lazyfill {
namespace {

bool is_blank(char c) {
  return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

bool is_of_word(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '+' || c == '-' || c == '.';
}

// Reads values of a valid text one after another.
class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}

  // The next character that is neither blank nor a comma or colon, which it stands at.
  char peek() {
    while (at_ < text_.size() && (is_blank(text_[at_]) || text_[at_] == ',' || text_[at_] == ':')) ++at_;
    return at_ < text_.size() ? text_[at_] : '\0';
  }
  void skip() { ++at_; }
  std::string_view value() {
    const size_t begin = at_;
    size_t depth = 0;
    do {
      const char c = text_[at_];
      if (c == '"') {
        skip_string();
      } else if (c == '{' || c == '[') {
        ++depth, ++at_;
      } else if (c == '}' || c == ']') {
        --depth, ++at_;
      } else if (depth > 0) {
        ++at_;
      } else {
        while (at_ < text_.size() && is_of_word(text_[at_])) ++at_;
      }
    } while (depth > 0 && at_ < text_.size());
    return text_.substr(begin, at_ - begin);
  }

 private:
  void skip_string() {
    for (++at_; at_ < text_.size() && text_[at_] != '"'; ++at_)
      if (text_[at_] == '\\') ++at_;
    ++at_;
  }

  std::string_view text_;
  size_t at_ = 0;
};

}  // namespace

JsonScanner::State JsonScanner::push(char c) {
  switch (next_) {
    case Next::kString:
      return push_string(c);
    case Next::kEscape:
      next_ = c == 'u' ? Next::kHex : Next::kString;
      n_hex_ = 0;
      return c != '\0' && std::string_view("\"\\/bfnrtu").find(c) != std::string_view::npos ? State::kMore
                                                                                            : State::kBroken;
    case Next::kHex:
      if (++n_hex_ == 4) next_ = Next::kString;
      return std::isxdigit(static_cast<unsigned char>(c)) != 0 ? State::kMore : State::kBroken;
    case Next::kWord:
      if (is_of_word(c)) {
        word_ += c;
        return State::kMore;
      }
      if (!nlohmann::json::accept(word_)) return State::kBroken;
      end_value();
      return push_outside(c);
    default:
      return push_outside(c);
  }
}

JsonScanner::State JsonScanner::push_string(char c) {
  if (c == '"') {
    if (!is_key_) return end_value();
    next_ = Next::kColon;
    return State::kMore;
  }
  if (c == '\\') next_ = Next::kEscape;
  return static_cast<unsigned char>(c) < 0x20 ? State::kBroken : State::kMore;
}

JsonScanner::State JsonScanner::push_outside(char c) {
  if (is_blank(c)) return open_.empty() ? State::kBroken : State::kMore;
  switch (next_) {
    case Next::kFirstKey:
    case Next::kKey:
      if (c == '}' && next_ == Next::kFirstKey) break;
      if (c != '"') return State::kBroken;
      is_key_ = true;
      next_ = Next::kString;
      return State::kMore;
    case Next::kColon:
      next_ = Next::kValue;
      return c == ':' ? State::kMore : State::kBroken;
    case Next::kComma:
      if (c == ',') {
        next_ = open_.back() == '{' ? Next::kKey : Next::kValue;
        return State::kMore;
      }
      if (c != (open_.back() == '{' ? '}' : ']')) return State::kBroken;
      break;
    case Next::kFirstValue:
      if (c == ']') break;
      return begin_value(c);
    default:
      return begin_value(c);
  }
  open_.pop_back();
  return end_value();
}

JsonScanner::State JsonScanner::begin_value(char c) {
  if (c == '{' || c == '[') {
    open_ += c;
    next_ = c == '{' ? Next::kFirstKey : Next::kFirstValue;
    return State::kMore;
  }
  if (open_.empty()) return State::kBroken;
  is_key_ = false;
  if (c == '"') {
    next_ = Next::kString;
    return State::kMore;
  }
  if (!is_of_word(c)) return State::kBroken;
  word_ = c;
  next_ = Next::kWord;
  return State::kMore;
}

JsonScanner::State JsonScanner::end_value() {
  next_ = Next::kComma;
  return open_.empty() ? State::kDone : State::kMore;
}

std::vector<JsonMember> json_members(std::string_view object) {
  std::vector<JsonMember> members;
  Reader reader(object);
  reader.peek();
  reader.skip();
  while (reader.peek() == '"') {
    const std::string_view key = reader.value();
    reader.peek();
    members.push_back({key.substr(1, key.size() - 2), reader.value()});
  }
  return members;
}

std::vector<std::string_view> json_elements(std::string_view array) {
  std::vector<std::string_view> elements;
  Reader reader(array);
  reader.peek();
  reader.skip();
  for (char c = reader.peek(); c != ']' && c != '\0'; c = reader.peek()) elements.push_back(reader.value());
  return elements;
}

}  // namespace lazyfill
