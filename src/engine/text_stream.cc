#include "engine/text_stream.h"

#include <algorithm>
#include <utility>

namespace lazyfill {
namespace {

// Length of the longest end of `text` with which `stop` begins.
size_t overlap(const std::string& text, const std::string& stop) {
  for (size_t n = std::min(text.size(), stop.size()); n > 0; --n) {
    if (text.compare(text.size() - n, n, stop, 0, n) == 0) return n;
  }
  return 0;
}

}  // namespace

TextStream::TextStream(const Tokenizer& tokenizer, std::vector<std::string> stop_texts)
    : decoder_(tokenizer), stop_texts_(std::move(stop_texts)) {
  std::erase(stop_texts_, "");
}

std::string TextStream::push(int32_t id) {
  held_ += decoder_.push(id);
  return release();
}

std::string TextStream::finish() {
  if (stopped_) return "";
  held_ += decoder_.finish();
  std::string text = release();
  if (!stopped_) text += std::exchange(held_, "");
  return text;
}

std::string TextStream::release() {
  size_t found = std::string::npos;
  size_t n_held = 0;
  for (const std::string& stop : stop_texts_) {
    found = std::min(found, held_.find(stop));
    n_held = std::max(n_held, overlap(held_, stop));
  }
  stopped_ = found != std::string::npos;
  const size_t n_released = stopped_ ? found : held_.size() - n_held;
  std::string text = held_.substr(0, n_released);
  held_.erase(0, stopped_ ? held_.size() : n_released);
  return text;
}

}  // namespace lazyfill
