#include "engine/text_stream.h"

#include <algorithm>
#include <utility>

#include "tokenizer/utf8.h"

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

TextStream::TextStream(const Tokenizer& tokenizer, std::vector<std::string> stop_texts, bool show_special)
    : tokenizer_(tokenizer),
      decoder_(tokenizer),
      stop_texts_(std::move(stop_texts)),
      show_special_(show_special) {
  std::erase(stop_texts_, "");
}

std::string TextStream::push(int32_t id) {
  hold(decoder_.push(id));
  if (tokenizer_.piece(id, false).empty()) {
    if (show_special_) held_ += decoder_.finish();  // half a character before a name will not become one
    const size_t begin = held_.size();
    held_ += utf8::replace_invalid(tokenizer_.piece(id, true));
    if (held_.size() > begin) names_.push_back({begin, held_.size()});
  }
  return release();
}

std::string TextStream::finish() {
  if (stopped_) return "";
  hold(decoder_.finish());
  std::string text = release();
  if (!stopped_) text += give(held_.size());
  return text;
}

bool TextStream::is_inside_name(size_t at) const {
  return std::any_of(names_.begin(), names_.end(),
                     [at](const Name& name) { return name.begin < at && at < name.end; });
}

size_t TextStream::find_with_names(const std::string& stop) const {
  for (size_t at = held_.find(stop); at != std::string::npos; at = held_.find(stop, at + 1)) {
    if (!is_inside_name(at) && !is_inside_name(at + stop.size())) return at;
  }
  return std::string::npos;
}

size_t TextStream::overlap_with_names(const std::string& stop) const {
  for (size_t n = std::min(held_.size(), stop.size()); n > 0; --n) {
    const size_t at = held_.size() - n;
    if (held_.compare(at, n, stop, 0, n) == 0 && !is_inside_name(at)) return n;
  }
  return 0;
}

std::string TextStream::release() {
  // What is held without the names, and where each byte of it stands in held_.
  std::string plain;
  std::vector<size_t> places;
  for (size_t at = 0, name = 0; at < held_.size(); ++at) {
    if (name < names_.size() && at == names_[name].begin) {
      at = names_[name++].end - 1;
    } else {
      plain += held_[at];
      places.push_back(at);
    }
  }
  places.push_back(held_.size());
  size_t found = std::string::npos;
  size_t n_released = held_.size();
  for (const std::string& stop : stop_texts_) {
    size_t at = plain.find(stop);
    if (at != std::string::npos) at = places[at];
    at = std::min(at, find_with_names(stop));
    if (at < found) {
      found = at;
      stop_text_ = stop;
    }
    n_released = std::min(
        {n_released, places[plain.size() - overlap(plain, stop)], held_.size() - overlap_with_names(stop)});
  }
  stopped_ = found != std::string::npos;
  std::string text = give(stopped_ ? found : n_released);
  if (stopped_) held_.clear();
  return text;
}

std::string TextStream::give(size_t n_bytes) {
  std::string text;
  size_t at = 0;
  size_t n_names = 0;
  for (; n_names < names_.size() && names_[n_names].end <= n_bytes; ++n_names) {
    const Name& name = names_[n_names];
    text.append(held_, at, (show_special_ ? name.end : name.begin) - at);
    plain_.append(held_, at, name.begin - at);
    at = name.end;
  }
  text.append(held_, at, n_bytes - at);
  plain_.append(held_, at, n_bytes - at);
  held_.erase(0, n_bytes);
  names_.erase(names_.begin(), names_.begin() + static_cast<ptrdiff_t>(n_names));
  for (Name& name : names_) name = {name.begin - n_bytes, name.end - n_bytes};
  return text;
}

}  // namespace lazyfill
