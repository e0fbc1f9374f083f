// An answer under a guide. Canonical answers: a token is allowed where some short ending of the answer,
// encoded together with the words that are still open, gives back the same tokens and this one. So every
// token that is allowed has a way to an end that is canonical, and no answer runs into a dead end.
#include <algorithm>
#include <utility>

#include "decoding/fim.h"
#include "decoding/guide.h"
#include "decoding/key_tracker.h"

namespace lazyfill {
namespace {

// Endings longer than this are not written out: what an answer begins with must then be canonical by itself.
constexpr uint32_t kLongEnding = 400;

class GuideConstraint final : public Constraint {
 public:
  explicit GuideConstraint(std::shared_ptr<Guide> guide)
      : guide_(std::move(guide)), tokenizer_(guide_->vocabulary().tokenizer()) {
    places_.emplace_back();
    const auto locked = guide_->lock();
    if (guide_->keys()) here().keys = *guide_->keys();
    replay();
  }

  bool allows(int32_t token) override {
    const auto locked = begin();
    return allowed(token);
  }

  const TokenMask& mask() override {
    const auto locked = begin();
    mask_ = guide_->mask(here().term);
    return mask_;
  }

  void accept(int32_t token) override {
    if (tokenizer_.is_end(token)) return;
    const auto locked = begin();
    if (judged_ != token) (void)allowed(token);
    Place next;
    const std::string text = guide_->vocabulary().text(token);
    next.term = guide_->terms().after(here().term, text);
    next.open = here().open;
    next.keys = here().keys;
    if (guide_->keys()) next.keys.push(text);
    next.way = judged_ == token ? std::move(way_) : std::vector<int32_t>();
    next.n_text = text_.size() + text.size();
    text_ += text;
    tokens_.push_back(token);
    places_.push_back(std::move(next));
    judged_ = -1;
    settle();
  }

  void rewind(size_t n) override {
    n = std::min(n, tokens_.size());
    tokens_.resize(tokens_.size() - n);
    places_.resize(tokens_.size() + 1);
    text_.resize(here().n_text);
    judged_ = -1;
  }

  bool may_end() override {
    const auto locked = begin();
    return ends_here();
  }

  bool must_end() override {
    const auto locked = begin();
    Terms& terms = guide_->terms();
    for (const TermStep& step : terms.row(here().term)) {
      if (terms.alive(step.target)) return false;
    }
    return true;
  }

  int32_t known_next() override { return here().way.empty() ? -1 : here().way.front(); }
  size_t n_accepted() const override { return tokens_.size(); }

 private:
  // What is known after so many tokens.
  struct Place {
    Term term = kNothing;
    size_t n_text = 0;         // bytes of the answer
    size_t open = 0;           // the first token that what follows may change
    std::vector<int32_t> way;  // tokens that lead to an end; empty: none is known, or it is here
    KeyTracker keys;
  };
  Place& here() { return places_.back(); }

  std::unique_lock<std::mutex> begin() {
    auto locked = guide_->lock();
    guide_->tidy();
    if (generation_ != guide_->generation()) replay();
    return locked;
  }

  void replay() {
    generation_ = guide_->generation();
    places_[0].term = guide_->start();
    for (size_t i = 0; i < tokens_.size(); ++i) {
      const std::string_view text =
          std::string_view(text_).substr(places_[i].n_text, places_[i + 1].n_text - places_[i].n_text);
      places_[i + 1].term = guide_->terms().after(places_[i].term, text);
    }
  }

  bool allowed(int32_t token) {
    judged_ = -1;
    way_.clear();
    if (tokenizer_.is_end(token)) return ends_here();
    const std::string text = guide_->vocabulary().text(token);
    if (text.empty()) return false;
    Terms& terms = guide_->terms();
    const Term term = terms.after(here().term, text);
    if (term == kNothing || !terms.alive(term)) return false;
    KeyTracker keys;
    if (guide_->keys()) {
      keys = here().keys;
      if (!keys.push(text)) return false;
    }
    const bool is_known = !here().way.empty() && here().way.front() == token;
    if (is_known) way_.assign(here().way.begin() + 1, here().way.end());
    if (!is_known && !leads_to_an_end(token, text, term, keys)) return false;
    judged_ = token;
    return true;
  }

  bool leads_to_an_end(int32_t token, const std::string& text, Term term, const KeyTracker& keys) {
    const bool canonical = guide_->options().canonical;
    // Keys and items that must differ may leave no way on though the term alone has one.
    if (!canonical && guide_->vocabulary().has_all_bytes() && !guide_->keys()) return true;
    const std::string open_text = text_.substr(places_[here().open].n_text) + text;
    std::vector<int32_t> open(tokens_.begin() + static_cast<ptrdiff_t>(here().open), tokens_.end());
    open.push_back(token);
    if (guide_->terms().bound(term) > kLongEnding) return !canonical || encode(open_text) == open;
    for (const bool many : {false, true}) {
      for (const std::string& ending : guide_->endings(term, many)) {
        KeyTracker tracked = keys;
        if (guide_->keys() && !tracked.push(ending)) continue;
        // Without the filter only the ending must be spelled, in any way.
        const std::vector<int32_t> ids = canonical ? encode(open_text + ending) : encode(ending);
        const size_t n_open = canonical ? open.size() : 0;
        if (ids.size() < n_open ||
            !std::equal(open.begin(), open.begin() + static_cast<ptrdiff_t>(n_open), ids.begin()))
          continue;
        way_.assign(ids.begin() + static_cast<ptrdiff_t>(n_open), ids.end());
        if (spells(way_, ending)) return true;
      }
    }
    way_.clear();
    return false;
  }

  // Texts that a tokeniser does not know become unknown tokens or nothing.
  bool spells(const std::vector<int32_t>& ids, std::string_view text) const {
    for (const int32_t id : ids) {
      const std::string piece = guide_->vocabulary().text(id);
      if (piece.empty() || tokenizer_.is_end(id) || !text.starts_with(piece)) return false;
      text.remove_prefix(piece.size());
    }
    return text.empty();
  }

  std::vector<int32_t> encode(std::string_view text) const { return guide_->vocabulary().encode(text); }

  bool ends_here() {
    if (!guide_->terms().nullable(here().term)) return false;
    return !guide_->options().canonical || encode(text_) == tokens_;
  }

  // Words that nothing behind them can change need not be encoded again, nor what stands before a control
  // token.
  void settle() {
    if (!guide_->options().canonical) return;
    const bool is_control = tokenizer_.piece(tokens_.back(), false).empty();
    if (is_control) {
      here().open = tokens_.size();
      return;
    }
    const size_t begin = places_[here().open].n_text;
    const std::string_view open_text = std::string_view(text_).substr(begin);
    const size_t n_settled = tokenizer_.settled_bytes(open_text);
    if (n_settled == 0) return;
    size_t first = here().open;
    while (first < tokens_.size() && places_[first].n_text < begin + n_settled) ++first;
    if (places_[first].n_text != begin + n_settled) return;  // no border between tokens
    here().open = first;
  }

  std::shared_ptr<Guide> guide_;
  const Tokenizer& tokenizer_;
  std::vector<int32_t> tokens_;
  std::string text_;
  std::vector<Place> places_;  // [tokens + 1]
  uint64_t generation_ = 0;
  int32_t judged_ = -1;       // the token that was allowed last
  std::vector<int32_t> way_;  // and how it leads to an end
  TokenMask mask_;
};

}  // namespace

std::unique_ptr<Constraint> start_constraint(std::shared_ptr<Guide> guide) {
  if (guide->options().kind == GuideKind::kLines) return start_lines(std::move(guide));
  return std::make_unique<GuideConstraint>(std::move(guide));
}

}  // namespace lazyfill
