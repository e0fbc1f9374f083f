#include "conversation/answer_parser.h"

#include <algorithm>
#include <utility>

#include "conversation/tool_call.h"

namespace lazyfill {

using Kind = AnswerPart::Kind;

class AnswerParser::Impl {
 public:
  explicit Impl(AnswerSyntax syntax)
      : syntax_(std::move(syntax)),
        text_parameters_(syntax_.tools == ToolSyntax::kQwenCoder || syntax_.tools == ToolSyntax::kHermes
                             ? syntax_.tools_json
                             : ""),
        marks_(call_marks(syntax_.tools)),
        thinks_(!syntax_.thought_begin.empty() && !syntax_.thought_end.empty()),
        phase_(thinks_ && syntax_.begins_in_thought ? Phase::kThought : Phase::kBegin),
        is_after_mark_(phase_ == Phase::kThought) {}

  std::vector<AnswerPart> push(std::string_view text) {
    held_ += text;
    while (advance(false)) {
    }
    held_.erase(0, at_);
    n_scanned_ -= std::min(n_scanned_, at_);
    at_ = 0;
    return std::exchange(parts_, {});
  }

  std::vector<AnswerPart> finish() {
    while (advance(true)) {
    }
    if (phase_ != Phase::kThought && !is_after_mark_) give(Kind::kContent, std::exchange(blanks_, {}));
    held_.clear();
    at_ = 0;
    return std::exchange(parts_, {});
  }

 private:
  enum class Phase {
    kBegin,  // nothing but blanks so far: a thought may begin, or an answer that is a call
    kThought,
    kContent,
    kCall,  // what may be one begins at at_
  };

  // Does what can be done with the held text; false: more is needed. is_end: there is no more.
  bool advance(bool is_end) {
    switch (phase_) {
      case Phase::kBegin:
        return begin(is_end);
      case Phase::kThought:
        return think(is_end);
      case Phase::kContent:
        return speak(is_end);
      case Phase::kCall:
        return call(is_end);
    }
    return false;
  }

  std::string_view rest() const { return std::string_view(held_).substr(at_); }

  bool begin(bool is_end) {
    const size_t n_blanks = std::min(rest().find_first_not_of(" \t\r\n"), rest().size());
    blanks_.append(rest(), 0, n_blanks);
    at_ += n_blanks;
    if (rest().empty()) return false;
    if (thinks_ && !has_thought_) {
      if (rest().starts_with(syntax_.thought_begin)) {
        at_ += syntax_.thought_begin.size();
        blanks_.clear();
        is_after_mark_ = true;
        return enter(Phase::kThought);
      }
      if (!is_end && syntax_.thought_begin.starts_with(rest())) return false;
    }
    if (syntax_.tools != ToolSyntax::kLlama3 || rest().front() != '{') return enter(Phase::kContent);
    mark_ = {};
    reader_ = read_bare_calls();
    n_scanned_ = at_;
    return enter(Phase::kCall);
  }

  bool think(bool is_end) {
    const size_t end = rest().find(syntax_.thought_end);
    if (end == std::string_view::npos) {
      const size_t n_kept = is_end ? 0 : overlap(syntax_.thought_end);
      say(Kind::kReasoning, rest().size() - n_kept);
      return false;
    }
    say(Kind::kReasoning, end);
    at_ += syntax_.thought_end.size();
    blanks_.clear();
    has_thought_ = is_after_mark_ = true;
    return enter(Phase::kBegin);
  }

  bool speak(bool is_end) {
    const std::string_view text = rest();
    size_t n_said = text.size();
    for (size_t i = 0; !marks_.empty() && i < text.size(); ++i) {
      if (text[i] != marks_[0][0]) continue;  // all begin alike
      for (const std::string_view mark : marks_) {
        if (text.substr(i).starts_with(mark)) return begin_call(i, mark);
        if (!is_end && mark.starts_with(text.substr(i))) n_said = std::min(n_said, i);
      }
    }
    say(Kind::kContent, n_said);
    return false;
  }

  bool begin_call(size_t at, std::string_view mark) {
    say(Kind::kContent, at);
    mark_ = mark;
    reader_ = read_calls(mark, text_parameters_);
    n_scanned_ = at_ + mark.size();
    return enter(Phase::kCall);
  }

  bool call(bool is_end) {
    auto state = CallReader::State::kMore;
    while (state == CallReader::State::kMore && n_scanned_ < held_.size())
      state = reader_->push(held_[n_scanned_++]);
    const bool is_cut = state == CallReader::State::kMore;
    if (is_cut && !is_end) return false;
    if (is_cut) state = reader_->finish();
    if (state == CallReader::State::kCalls) {
      take_calls();
      at_ += mark_.size() + reader_->used();
      return enter(Phase::kContent);
    }
    // The mark is content; what follows it is looked at once more, but not where the answer ends within the
    // call: no other one can be whole in there.
    say(Kind::kContent, is_cut ? rest().size() : std::max<size_t>(mark_.size(), 1));
    return enter(Phase::kContent);
  }

  void take_calls() {
    blanks_.clear();
    for (const ToolCall& one : reader_->calls()) {
      parts_.push_back({Kind::kToolCall, one.name, n_calls_});
      parts_.push_back({Kind::kToolArguments, one.arguments, n_calls_++});
    }
    is_after_mark_ = true;
  }

  bool enter(Phase phase) {
    phase_ = phase;
    return true;
  }

  // How much of the end of the text `mark` could begin with.
  size_t overlap(std::string_view mark) const {
    for (size_t n = std::min(mark.size() - 1, rest().size()); n > 0; --n)
      if (rest().substr(rest().size() - n) == mark.substr(0, n)) return n;
    return 0;
  }

  // The next n bytes. Blanks wait for what follows them: before a mark they are left out, and empty lines
  // after one too.
  void say(Kind kind, size_t n) {
    const std::string_view text = rest().substr(0, n);
    at_ += n;
    const size_t last = text.find_last_not_of(" \t\r\n");
    if (last == std::string_view::npos) {
      blanks_ += text;
      return;
    }
    blanks_.append(text, 0, text.find_first_not_of(" \t\r\n"));
    if (std::exchange(is_after_mark_, false)) blanks_.erase(0, blanks_.rfind('\n') + 1);
    give(kind, std::exchange(blanks_, {}));
    const size_t first = text.find_first_not_of(" \t\r\n");
    give(kind, text.substr(first, last + 1 - first));
    blanks_ = text.substr(last + 1);
  }

  void give(Kind kind, std::string_view text) {
    if (text.empty()) return;
    if (parts_.empty() || parts_.back().kind != kind) parts_.push_back({kind, "", 0});
    parts_.back().text += text;
  }

  const AnswerSyntax syntax_;
  const TextParameters text_parameters_;
  const std::vector<std::string_view> marks_;
  const bool thinks_;
  Phase phase_;
  std::string held_;
  size_t at_ = 0;       // of held_: what is before it is done with
  std::string blanks_;  // before at_, not given yet
  bool has_thought_ = false;
  bool is_after_mark_;  // of a thought or a call, nothing but blanks since
  size_t n_calls_ = 0;
  // In Phase::kCall.
  std::string_view mark_;
  std::unique_ptr<CallReader> reader_;
  size_t n_scanned_ = 0;  // of held_
  std::vector<AnswerPart> parts_;
};

AnswerParser::AnswerParser(AnswerSyntax syntax) : impl_(std::make_unique<Impl>(std::move(syntax))) {}
AnswerParser::AnswerParser(AnswerParser&&) noexcept = default;
AnswerParser& AnswerParser::operator=(AnswerParser&&) noexcept = default;
AnswerParser::~AnswerParser() = default;

std::vector<AnswerPart> AnswerParser::push(std::string_view text) {
  return impl_->push(text);
}

std::vector<AnswerPart> AnswerParser::finish() {
  return impl_->finish();
}

}  // namespace lazyfill
