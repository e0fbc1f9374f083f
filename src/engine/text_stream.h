// From generated tokens to the text that may be shown: whole characters only, and nothing that could turn out
// to be the beginning of a stop text. Stop texts are looked for in what is shown without the names of control
// tokens, and in the same with them; a name counts whole or not at all.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "decoding/fim.h"
#include "tokenizer/tokenizer.h"

namespace lazyfill {

class TextStream {
 public:
  // show_special: names of control tokens are part of the text.
  TextStream(const Tokenizer& tokenizer, std::vector<std::string> stop_texts, bool show_special = false);

  // Of the text only what stands between these two is shown and searched (GuideKind::kLines).
  void show_middle(const std::string& begin, const std::string& end) { middle_.emplace(begin, end); }

  // Text that can be shown after this token; may be empty. Sets stopped() when a stop text is complete.
  std::string push(int32_t id);
  // What was held back, at the end.
  std::string finish();
  bool stopped() const { return stopped_; }
  const std::string& stop_text() const { return stop_text_; }  // the one that was found
  // All that was given so far, without the names.
  const std::string& plain() const { return plain_; }

 private:
  struct Name {
    size_t begin, end;  // bytes of held_
  };

  void hold(const std::string& text) { held_ += middle_ ? middle_->push(text) : text; }
  std::string release();
  std::string give(size_t n_bytes);  // from held_
  size_t find_with_names(const std::string& stop) const;
  size_t overlap_with_names(const std::string& stop) const;
  bool is_inside_name(size_t at) const;

  const Tokenizer& tokenizer_;
  StreamingDecoder decoder_;
  std::optional<MiddleText> middle_;
  std::vector<std::string> stop_texts_;  // none empty
  const bool show_special_;
  std::string held_;         // with the names of control tokens
  std::vector<Name> names_;  // in held_, ascending
  std::string plain_;
  bool stopped_ = false;
  std::string stop_text_;
};

}  // namespace lazyfill
