#include "decoding/guide.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "decoding/gbnf.h"
#include "decoding/json_schema.h"
#include "decoding/json_texts.h"
#include "decoding/regex.h"
#include "tokenizer/utf8.h"

namespace lazyfill {
namespace {

constexpr char kFrameBegin = '\xFF';  // no byte of UTF-8
constexpr char kFrameEnd = '\xFE';
constexpr size_t kMoreTerms = 200'000;
constexpr size_t kMaxGuideBytes = size_t{32} << 20;  // of what was found of one guide
constexpr size_t kMaxGuides = 256;
constexpr size_t kMaxSourceBytes = size_t{1} << 20;
constexpr uint32_t kMoreLength = 20'000;  // what an answer may pile up: nested parts that are still open
constexpr uint32_t kMoreHeight = 200;
constexpr size_t kStartBudget = 20'000;
constexpr size_t kMostVaried = 200;
constexpr std::string_view kUsualBytes = "a0A ._\"\n";  // what words, numbers and texts are made of
constexpr size_t kManyEndings = 64;
constexpr size_t kEndingsBudget = 3000;

bool same(const GuideOptions& a, const GuideOptions& b) {
  return a.kind == b.kind && a.canonical == b.canonical && a.source == b.source && a.choices == b.choices;
}

Result<Term> parse_choices(Terms& terms, const std::vector<std::string>& choices) {
  if (choices.empty()) return fail(ErrorCode::kInvalidArgument, "there is no choice to choose from");
  size_t n_bytes = 0;
  std::vector<Term> ways;
  for (size_t i = 0; i < choices.size(); ++i) {
    n_bytes += choices[i].size();
    if (n_bytes > kMaxSourceBytes)
      return fail(ErrorCode::kInvalidArgument,
                  "the choices have more than a MiB in all; give fewer or shorter ones");
    if (choices[i].empty())
      return fail(ErrorCode::kInvalidArgument,
                  "choice " + std::to_string(i + 1) + " is empty; give it a text");
    if (utf8::first_invalid(choices[i]))
      return fail(ErrorCode::kInvalidArgument, "choice " + std::to_string(i + 1) + " is not valid UTF-8");
    ways.push_back(terms.literal(choices[i]));
  }
  return terms.alt(std::move(ways));
}

Term rest_of_json_string(Terms& terms) {
  return terms.cat(JsonTexts(terms).characters(), terms.literal("\""));
}

Result<void> check_lines(const std::vector<std::string>& lines) {
  if (lines.size() != 2)
    return fail(ErrorCode::kInvalidArgument,
                "lines need two texts, one for the beginning and one for the end");
  if (lines[0].size() > kMaxSourceBytes || lines[1].size() > kMaxSourceBytes)
    return fail(ErrorCode::kInvalidArgument, "the lines have more than a MiB; give shorter ones");
  if (utf8::first_invalid(lines[0]) || utf8::first_invalid(lines[1]))
    return fail(ErrorCode::kInvalidArgument, "the lines are not valid UTF-8");
  return {};
}

// Shortest endings that begin differently: whether tokens are canonical is decided by the first bytes behind
// them, while short endings alone often differ only far behind.
void add_varied(Terms& terms, Term term, const std::string& begin, size_t n_bytes,
                std::vector<std::string>& out) {
  const TermRow row = terms.row(term);
  for (const TermStep& step : row) {
    std::string bytes(1, static_cast<char>(step.first));
    for (const char c : kUsualBytes) {
      const auto byte = static_cast<uint8_t>(c);
      if (byte > step.first && byte <= step.last) bytes += c;
    }
    for (const char byte : bytes) {
      if (out.size() >= kMostVaried) return;
      if (n_bytes > 1) {
        add_varied(terms, step.target, begin + byte, n_bytes - 1, out);
        continue;
      }
      for (const std::string& rest : terms.matches(step.target, 1, kEndingsBudget))
        out.push_back(begin + byte + rest);
    }
  }
}

}  // namespace

GuideVocabulary::GuideVocabulary(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {
  std::array<bool, 256> found{};
  size_t n_found = 0;
  for (size_t i = 0; i < tokenizer.n_tokens() && n_found < 256; ++i) {
    const std::string text = tokenizer.piece(static_cast<int32_t>(i), false);
    if (text.size() != 1 || std::exchange(found[static_cast<uint8_t>(text[0])], true)) continue;
    ++n_found;
  }
  has_all_bytes_ = n_found == 256;
}

std::string GuideVocabulary::text_of(const Tokenizer& tokenizer, int32_t token) {
  if (tokenizer.is_end(token)) return {};
  const std::string text = tokenizer.piece(token, false);
  const std::string name = text.empty() ? tokenizer.piece(token, true) : text;
  // A byte of a frame alone begins no character and must not build one.
  if (name.empty() || name.find_first_of(std::string{kFrameBegin, kFrameEnd}) != std::string::npos) return {};
  return text.empty() ? std::string(1, kFrameBegin).append(name).append(1, kFrameEnd) : text;
}

std::string GuideVocabulary::named_text(std::string_view name) const {
  int32_t id = -1;
  if (name.starts_with('[') && name.ends_with(']')) {
    const std::string_view digits = name.substr(1, name.size() - 2);
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), id);
    if (error != std::errc() || end != digits.data() + digits.size()) id = -1;
  }
  if (id < 0) {
    const std::string whole = std::string("<").append(name).append(">");
    const auto ids =
        tokenizer_.encode(whole, {.add_special = false, .parse_special = true, .space_prefix = false});
    if (!ids || ids->size() != 1 || tokenizer_.piece(ids->front(), true) != whole) return {};
    id = ids->front();
  }
  return text(id);
}

std::vector<int32_t> GuideVocabulary::encode(std::string_view text) const {
  std::vector<int32_t> ids;
  while (!text.empty()) {
    const size_t frame = std::min(text.find(kFrameBegin), text.size());
    auto plain = tokenizer_.encode(text.substr(0, frame), {.add_special = false, .space_prefix = false});
    if (!plain) return {};
    ids.insert(ids.end(), plain->begin(), plain->end());
    text.remove_prefix(frame);
    if (text.empty()) break;
    const size_t end = text.find(kFrameEnd);
    if (end == std::string_view::npos) return {};
    const auto id = tokenizer_.encode(text.substr(1, end - 1),
                                      {.add_special = false, .parse_special = true, .space_prefix = false});
    if (!id || id->size() != 1) return {};
    ids.push_back(id->front());
    text.remove_prefix(end + 1);
  }
  return ids;
}

const TokenTrie& GuideVocabulary::trie() const {
  std::call_once(made_, [this] {
    trie_ = std::make_unique<const TokenTrie>(
        tokenizer_, [](const Tokenizer& tokenizer, int32_t token) { return text_of(tokenizer, token); });
  });
  return *trie_;
}

std::shared_ptr<const TokenMasks::Part> GuideVocabulary::json_string() const {
  std::call_once(made_string_, [this] {
    Terms terms;
    TokenMasks masks(terms, trie());
    json_string_ = masks.part_of(rest_of_json_string(terms));
  });
  return json_string_;
}

Result<std::shared_ptr<Guide>> Guide::compile(const GuideOptions& options,
                                              std::shared_ptr<const GuideVocabulary> vocabulary) {
  std::shared_ptr<Guide> guide(new Guide(options, std::move(vocabulary)));
  if (auto compiled = guide->compile(); !compiled) return tl::unexpected(compiled.error());
  return guide;
}

Result<Term> Guide::parse_schema() {
  auto made = parse_json_schema(*terms_, options_.source);
  if (!made) return tl::unexpected(made.error());
  owned_.push_back(std::move(made->owned));
  keys_.emplace(made->unique_items);
  return made->start;
}

Result<Term> Guide::parse_grammar() {
  const auto text = [this](std::string_view name) { return vocabulary_->named_text(name); };
  auto made = parse_gbnf(*terms_, options_.source, text);
  if (!made) return tl::unexpected(made.error());
  owned_ = std::move(made->owned);
  if (made->has_json) {
    keys_.emplace(made->unique_items,
                  std::make_shared<const std::vector<std::string>>(std::move(made->json_marks)));
  }
  return made->start;
}

Result<Term> Guide::parse() {
  switch (options_.kind) {
    case GuideKind::kNone:
      break;
    case GuideKind::kRegex:
      return parse_regex(*terms_, options_.source, RegexMatch::kWhole);
    case GuideKind::kChoice:
      return parse_choices(*terms_, options_.choices);
    case GuideKind::kJsonSchema:
      return parse_schema();
    case GuideKind::kLines:  // needs no term, see fim.h
      if (auto checked = check_lines(options_.choices); !checked) return tl::unexpected(checked.error());
      return kEmptyText;
    case GuideKind::kGrammar:
      return parse_grammar();
  }
  return fail(ErrorCode::kInvalidArgument, "there is no guide");
}

Result<void> Guide::compile() {
  masks_.reset();
  endings_.clear();
  ending_bytes_ = 0;
  terms_ = std::make_unique<Terms>();
  owned_.clear();
  keys_.reset();
  ++generation_;
  if (options_.source.size() > kMaxSourceBytes)
    return fail(ErrorCode::kInvalidArgument, "the guide has more than a MiB; give a smaller one");
  const Result<Term> parsed = parse();
  if (!parsed) return tl::unexpected(parsed.error());
  if (terms_->overflowed())
    return fail(ErrorCode::kInvalidArgument, "the guide is too large; make it or its counts smaller");
  start_ = *parsed;
  terms_->close();
  terms_->limit_growth(kMoreLength, kMoreHeight, terms_->size() + kMoreTerms);
  if (terms_->matches(start_, 1, kStartBudget).empty())
    return fail(ErrorCode::kInvalidArgument, "no text fits this guide, or none can be found in bounded time");
  n_first_terms_ = terms_->size();
  n_first_bytes_ = bytes();
  return {};
}

const TokenMask& Guide::mask(Term term) {
  if (!masks_) {
    masks_ = std::make_unique<TokenMasks>(*terms_, vocabulary_->trie());
    if (keys_) masks_->share(rest_of_json_string(*terms_), vocabulary_->json_string());
  }
  return masks_->of(term);
}

const std::vector<std::string>& Guide::endings(Term term, bool many) {
  Endings& endings = endings_[term];
  std::vector<std::string>& wanted = many ? endings.many : endings.few;
  if (wanted.empty()) {
    wanted = terms_->matches(term, many ? kManyEndings : 1, kEndingsBudget);
    add_varied(*terms_, term, "", many ? 2 : 1, wanted);
    for (const std::string& text : wanted) ending_bytes_ += sizeof(std::string) + text.capacity();
    ending_bytes_ += sizeof(Endings);
  }
  return wanted;
}

size_t Guide::bytes() const {
  return terms_->bytes_used() + ending_bytes_ + (masks_ ? masks_->bytes_used() : 0) + options_.source.size();
}

size_t Guide::bytes_used() {
  const auto locked = lock();
  return bytes();
}

void Guide::tidy() {
  if (masks_ && masks_->bytes_used() > kMaxGuideBytes / 2) masks_.reset();
  if (bytes() <= n_first_bytes_ + kMaxGuideBytes && terms_->size() <= n_first_terms_ + kMoreTerms * 9 / 10)
    return;
  (void)compile();  // it was compiled before
}

// Guides grow while they are used, so what there is is counted in every call.
void GuideCache::trim() {
  size_t n_bytes = 0;
  size_t n_kept = 0;
  for (; n_kept < std::min(guides_.size(), kMaxGuides); ++n_kept) {
    n_bytes += guides_[guides_.size() - 1 - n_kept]->bytes_used();
    if (n_kept > 0 && n_bytes > max_bytes_) break;
  }
  guides_.erase(guides_.begin(), guides_.end() - static_cast<std::ptrdiff_t>(n_kept));
}

Result<std::shared_ptr<Guide>> GuideCache::get(const GuideOptions& options,
                                               const std::shared_ptr<const GuideVocabulary>& vocabulary) {
  {
    const std::scoped_lock locked(mutex_);
    const auto found = std::find_if(guides_.begin(), guides_.end(),
                                    [&](const auto& guide) { return same(guide->options(), options); });
    if (found != guides_.end()) {
      std::rotate(found, found + 1, guides_.end());
      trim();
      return guides_.back();
    }
  }
  auto compiled = Guide::compile(options, vocabulary);
  if (!compiled) return compiled;
  const std::scoped_lock locked(mutex_);
  guides_.push_back(*compiled);
  trim();
  return compiled;
}

size_t GuideCache::size() const {
  const std::scoped_lock locked(mutex_);
  return guides_.size();
}

size_t GuideCache::bytes_used() const {
  const std::scoped_lock locked(mutex_);
  size_t n_bytes = 0;
  for (const auto& guide : guides_) n_bytes += guide->bytes_used();
  return n_bytes;
}

}  // namespace lazyfill
