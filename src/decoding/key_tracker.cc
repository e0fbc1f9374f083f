#include "decoding/key_tracker.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

namespace lazyfill {

struct KeyTracker::Value {
  nlohmann::json value;
  std::shared_ptr<const Value> before;
};

bool KeyTracker::add(Level& level, std::string_view json) {
  // The same value may be spelled in several ways.
  auto read = nlohmann::json::parse(json, nullptr, false);
  if (read.is_discarded()) return true;
  for (const Value* other = level.values.get(); other != nullptr; other = other->before.get()) {
    if (other->value == read) return false;
  }
  level.values = std::make_shared<const Value>(Value{std::move(read), level.values});
  return true;
}

bool KeyTracker::structural(char c) {
  switch (c) {
    case '{':
      levels_.push_back({true, true, 0, nullptr});
      return true;
    case '[':
      levels_.push_back({false, false, text_.size(), nullptr});
      return true;
    case ',':
    case '}':
    case ']': {
      if (levels_.empty()) return true;
      Level& level = levels_.back();
      bool fits = true;
      if (!level.is_object && distinct_items_)
        fits = add(level, std::string_view(text_).substr(level.item, text_.size() - 1 - level.item));
      if (c == ',') {
        level.at_key = level.is_object;
        level.item = text_.size();
      } else {
        levels_.pop_back();
      }
      return fits;
    }
    default:
      return true;
  }
}

// Outside of JSON: whether it begins with this character.
bool KeyTracker::begins(char c) {
  const bool is_bracket = c == '{' || c == '[';
  const bool is_blank = c == ' ' || c == '\n' || c == '\r' || c == '\t';
  size_t longest = 0;
  bool anywhere = false;
  for (const std::string& mark : *marks_) {
    longest = std::max(longest, mark.size());
    anywhere = anywhere || mark.empty();
  }
  if (is_bracket && (is_behind_mark_ || anywhere)) {
    is_outside_ = is_behind_mark_ = in_string_ = after_backslash_ = false;
    outside_.clear();
    text_.clear();
    return true;
  }
  outside_ += c;
  if (outside_.size() > longest) outside_.erase(0, outside_.size() - longest);
  const bool at_mark = std::any_of(marks_->begin(), marks_->end(),
                                   [&](const std::string& mark) { return outside_.ends_with(mark); });
  is_behind_mark_ = (is_behind_mark_ && is_blank) || at_mark;
  return false;
}

bool KeyTracker::push(std::string_view text) {
  for (const char c : text) {
    if (is_outside_ && !begins(c)) continue;
    const bool keeps = distinct_items_ || (in_string_ && !levels_.empty() && levels_.back().at_key);
    if (keeps) text_ += c;
    if (in_string_) {
      const bool escaped = std::exchange(after_backslash_, false);
      after_backslash_ = c == '\\' && !escaped;
      if (c != '"' || escaped) continue;
      in_string_ = false;
      if (levels_.empty() || !levels_.back().at_key) continue;
      levels_.back().at_key = false;
      // Without items to compare, the text is the key alone.
      std::string key;
      if (distinct_items_) {
        key = text_.substr(key_begin_);
      } else {
        key += '"';
        key.append(text_);
        text_.clear();
      }
      if (!add(levels_.back(), key)) return false;
    } else if (c == '"') {
      in_string_ = true;
      key_begin_ = text_.empty() ? 0 : text_.size() - 1;
    } else if (!structural(c)) {
      return false;
    }
    is_outside_ = marks_ != nullptr && levels_.empty();
  }
  return true;
}

}  // namespace lazyfill
