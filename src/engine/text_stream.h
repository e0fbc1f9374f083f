// From generated tokens to the text that may be shown: whole characters only, and nothing that could turn out
// to be the beginning of a stop text.
#pragma once

#include <string>
#include <vector>

#include "tokenizer/tokenizer.h"

namespace lazyfill {

class TextStream {
 public:
  TextStream(const Tokenizer& tokenizer, std::vector<std::string> stop_texts);

  // Text that can be shown after this token; may be empty. Sets stopped() when a stop text is complete.
  std::string push(int32_t id);
  // What was held back, at the end.
  std::string finish();
  bool stopped() const { return stopped_; }

 private:
  std::string release();

  StreamingDecoder decoder_;
  std::vector<std::string> stop_texts_;  // none empty
  std::string held_;
  bool stopped_ = false;
};

}  // namespace lazyfill
