// The texts of a template's run, and who wrote which part of them: the template itself, or the conversation
// that it is given. Control tokens count only where the template wrote them, and no search in the finished
// text could tell: what a user writes may be spelled like anything. So every function that makes text of text
// carries it on, and what says nothing of its origin is taken for the conversation's.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace lazyfill::jinja {

// A text of one origin holds no more than a string; each change of hands costs one number.
class Text {
 public:
  Text() = default;
  explicit Text(std::string bytes, bool of_template = false)
      : bytes_(std::move(bytes)), starts_of_template_(of_template) {}

  const std::string& bytes() const { return bytes_; }
  std::string take_bytes() { return std::move(bytes_); }
  bool empty() const { return bytes_.empty(); }
  bool starts_of_template() const { return starts_of_template_; }
  // Ascending offsets above 0 where the other one goes on writing.
  const std::vector<size_t>& changes() const { return changes_; }
  bool is_all_of_template() const { return starts_of_template_ && changes_.empty(); }
  // What a limit counts.
  size_t n_bytes() const { return bytes_.size() + changes_.size() * sizeof(size_t); }

  void reserve(size_t n_bytes) { bytes_.reserve(n_bytes); }
  void append(std::string_view bytes, bool of_template) {
    if (bytes.empty()) return;
    if (bytes_.empty()) {
      starts_of_template_ = of_template;
    } else if (ends_of_template() != of_template) {
      changes_.push_back(bytes_.size());
    }
    bytes_.append(bytes);
  }

 private:
  bool ends_of_template() const { return starts_of_template_ != (changes_.size() % 2 == 1); }

  std::string bytes_;
  bool starts_of_template_ = false;
  std::vector<size_t> changes_;
};

// A part of a text that outlives it. Plain strings are nobody's, that is the conversation's.
class TextView {
 public:
  TextView() = default;
  TextView(std::string_view bytes) : bytes_(bytes) {}    // NOLINT(google-explicit-constructor)
  TextView(const char* bytes) : bytes_(bytes) {}         // NOLINT(google-explicit-constructor)
  TextView(const std::string& bytes) : bytes_(bytes) {}  // NOLINT(google-explicit-constructor)
  TextView(const Text& text)                             // NOLINT(google-explicit-constructor)
      : bytes_(text.bytes()),
        of_template_(text.starts_of_template()),
        mixed_(text.changes().empty() ? nullptr : &text) {}
  static TextView of_template(std::string_view bytes) { return one_origin(bytes, true); }
  static TextView one_origin(std::string_view bytes, bool of_template) {
    TextView view(bytes);
    view.of_template_ = of_template;
    return view;
  }

  std::string_view bytes() const { return bytes_; }
  size_t size() const { return bytes_.size(); }
  bool empty() const { return bytes_.empty(); }
  // Whether all of it is the template's.
  bool is_all_of_template() const;

  TextView substr(size_t begin, size_t n = std::string_view::npos) const {
    TextView part = *this;
    part.bytes_ = bytes_.substr(begin, n);
    return part;
  }
  void remove_prefix(size_t n) { bytes_.remove_prefix(n); }

  // Calls with each part of one origin: (bytes, of_template).
  template <class Call>
  void each_part(Call call) const {
    if (mixed_ == nullptr) return call(bytes_, of_template_);
    std::string_view rest = bytes_;
    while (!rest.empty()) {
      const Part part = first_part(rest);
      call(rest.substr(0, part.n_bytes), part.of_template);
      rest.remove_prefix(part.n_bytes);
    }
  }
  Text copy() const;

 private:
  struct Part {
    size_t n_bytes = 0;
    bool of_template = false;
  };
  Part first_part(std::string_view rest) const;  // mixed_ is not null; rest lies in it, not empty

  std::string_view bytes_;
  bool of_template_ = false;
  const Text* mixed_ = nullptr;  // where its origins differ: the whole text that bytes_ lies in
};

// Text that grows only as far as a limit allows.
class BoundedText {
 public:
  explicit BoundedText(size_t max_bytes) : max_bytes_(max_bytes) {}
  void append(const TextView& piece) {
    if (piece.size() > room()) overflow_ = true;
    if (overflow_) return;
    piece.each_part([&](std::string_view bytes, bool of_template) { text_.append(bytes, of_template); });
    if (text_.n_bytes() > max_bytes_) overflow_ = true;
  }
  // What would not fit is not begun: the count may be a hostile one.
  void append_times(const TextView& piece, int64_t count) {
    if (count <= 0 || piece.empty()) return;
    if (static_cast<uint64_t>(count) > room() / piece.size()) overflow_ = true;
    for (; count > 0 && !overflow_; --count) append(piece);
  }
  bool overflow() const { return overflow_; }
  Text take() { return std::move(text_); }

 private:
  size_t room() const { return max_bytes_ - std::min(max_bytes_, text_.n_bytes()); }

  Text text_;
  size_t max_bytes_;
  bool overflow_ = false;
};

}  // namespace lazyfill::jinja
