#include "decoding/fim.h"

#include <algorithm>
#include <utility>

namespace lazyfill {

EndFinder::EndFinder(std::string end) : end_(std::move(end)), border_(end_.size() + 1, 0) {
  for (size_t n = 1; n < end_.size(); ++n)
    border_[n + 1] = static_cast<uint32_t>(next(border_[n], static_cast<uint8_t>(end_[n])));
}

size_t EndFinder::next(size_t n_matched, uint8_t byte) const {
  if (end_.empty()) return 0;
  while (n_matched > 0 && static_cast<uint8_t>(end_[n_matched]) != byte) n_matched = border_[n_matched];
  return static_cast<uint8_t>(end_[n_matched]) == byte ? n_matched + 1 : 0;
}

std::string MiddleText::push(std::string_view text) {
  while (n_begin_ < begin_.size() && !text.empty()) {
    ++n_begin_;
    text.remove_prefix(1);
  }
  std::string out;
  for (const char byte : text) {
    const size_t n_end = finder_.end().size();
    if (n_end > 0 && n_held_ == n_end) break;
    const size_t n_before = n_held_;
    n_held_ = finder_.next(n_before, static_cast<uint8_t>(byte));
    // Of the bytes that were held and this one, those that are no longer held.
    std::string all = finder_.end().substr(0, n_before) + byte;
    out.append(all, 0, all.size() - n_held_);
  }
  return out;
}

namespace {

// How far a character in UTF-8 has come.
struct CharacterState {
  uint8_t n_missing = 0;              // bytes
  uint8_t least = 0x80, most = 0xBF;  // the next of them
  bool push(uint8_t byte);
};

bool CharacterState::push(uint8_t byte) {
  if (n_missing > 0) {
    if (byte < least || byte > most) return false;
    --n_missing;
    least = 0x80;
    most = 0xBF;
    return true;
  }
  if (byte < 0x80) return true;
  if (byte < 0xC2 || byte > 0xF4) return false;
  n_missing = byte < 0xE0 ? 1 : (byte < 0xF0 ? 2 : 3);
  // No longer spelling than needed, no surrogates, nothing beyond U+10FFFF.
  if (byte == 0xE0) least = 0xA0;
  if (byte == 0xED) most = 0x9F;
  if (byte == 0xF0) least = 0x90;
  if (byte == 0xF4) most = 0x8F;
  return true;
}

struct Place {
  size_t n_begin = 0;  // bytes of the beginning
  size_t n_end = 0;    // and of the end, after it
  CharacterState character;
};

class LinesConstraint final : public Constraint {
 public:
  explicit LinesConstraint(std::shared_ptr<Guide> guide)
      : guide_(std::move(guide)),
        tokenizer_(guide_->vocabulary().tokenizer()),
        begin_(guide_->options().choices[0]),
        finder_(guide_->options().choices[1]),
        places_(1) {}

  bool allows(int32_t token) override {
    if (tokenizer_.is_end(token)) return may_end();
    const std::string text = tokenizer_.piece(token, false);
    Place place = places_.back();
    if (text.empty() || !follow(place, text)) return false;
    return guide_->vocabulary().has_all_bytes() || can_go_on(place);
  }

  const TokenMask& mask() override {
    const TokenTrie& trie = guide_->vocabulary().trie();
    mask_.assign((trie.n_tokens() + 63) / 64, 0);
    walk(trie, places_.back(), 0, static_cast<uint32_t>(trie.nodes().size()));
    return mask_;
  }

  void accept(int32_t token) override {
    if (tokenizer_.is_end(token)) return;
    Place place = places_.back();
    follow(place, tokenizer_.piece(token, false));
    places_.push_back(place);
  }

  void rewind(size_t n) override { places_.resize(places_.size() - std::min(n, n_accepted())); }

  bool may_end() override {
    const Place& place = places_.back();
    if (place.n_begin < begin_.size() || place.character.n_missing > 0) return false;
    return finder_.end().empty() || is_over(place);
  }

  bool must_end() override { return is_over(places_.back()); }

  // The first token of what is missing of the beginning or of the end.
  int32_t known_next() override {
    const Place& place = places_.back();
    std::string missing = begin_.substr(place.n_begin);
    if (missing.empty() && place.character.n_missing == 0) missing = finder_.end().substr(place.n_end);
    if (missing.empty()) return -1;
    const auto ids = tokenizer_.encode(missing, {.add_special = false, .space_prefix = false});
    if (!ids || ids->empty() || !allows(ids->front())) return -1;
    return ids->front();
  }

  size_t n_accepted() const override { return places_.size() - 1; }

 private:
  bool is_over(const Place& place) const {
    return !finder_.end().empty() && place.n_end == finder_.end().size();
  }

  bool step(Place& place, uint8_t byte) const {
    if (is_over(place)) return false;
    if (place.n_begin < begin_.size()) return static_cast<uint8_t>(begin_[place.n_begin++]) == byte;
    if (!place.character.push(byte)) return false;
    place.n_end = finder_.next(place.n_end, byte);
    return true;
  }

  bool follow(Place& place, std::string_view text) const {
    return std::all_of(text.begin(), text.end(),
                       [&](char byte) { return step(place, static_cast<uint8_t>(byte)); });
  }

  // A vocabulary without some bytes can spell what has begun, and what is missing of the beginning.
  bool can_go_on(const Place& place) const {
    if (place.n_begin == begin_.size()) return true;
    const std::string missing = begin_.substr(place.n_begin);
    if ((static_cast<uint8_t>(missing[0]) & 0xC0) == 0x80) return false;
    const auto ids = tokenizer_.encode(missing, {.add_special = false, .space_prefix = false});
    if (!ids) return false;
    std::string spelled;
    for (const int32_t id : *ids) spelled += tokenizer_.piece(id, false);
    return spelled == missing;
  }

  void walk(const TokenTrie& trie, const Place& from, uint32_t begin, uint32_t end) {
    for (uint32_t i = begin; i < end;) {
      const TokenTrie::Node& node = trie.nodes()[i];
      Place place = from;
      if (step(place, node.byte)) {
        for (int32_t token = node.token; token >= 0; token = trie.next_alike(token))
          mask_[static_cast<size_t>(token) / 64] |= uint64_t{1} << (static_cast<size_t>(token) % 64);
        walk(trie, place, i + 1, node.end);
      }
      i = node.end;
    }
  }

  const std::shared_ptr<Guide> guide_;
  const Tokenizer& tokenizer_;
  const std::string& begin_;
  const EndFinder finder_;
  std::vector<Place> places_;  // [tokens + 1]
  TokenMask mask_;
};

}  // namespace

std::unique_ptr<Constraint> start_lines(std::shared_ptr<Guide> guide) {
  return std::make_unique<LinesConstraint>(std::move(guide));
}

}  // namespace lazyfill
