#include "tokenizer/vocabulary_tokenizer.h"

#include <algorithm>
#include <limits>

#include "tokenizer/sentencepiece_normalizer.h"
#include "tokenizer/utf8.h"

namespace lazyfill {

namespace {

constexpr TokenType kUserDefined[] = {TokenType::kUserDefined};
constexpr TokenType kSpecial[] = {TokenType::kControl, TokenType::kUnknown};

}  // namespace

VocabularyTokenizer::VocabularyTokenizer(Vocabulary vocabulary, Frame frame, const TokenizerData& data,
                                         bool u2581_is_space)
    : vocabulary_(std::move(vocabulary)) {
  if (frame.bos && bos_id() >= 0) prefix_.push_back(bos_id());
  const int32_t separator = frame.separator ? vocabulary_.separator_id() : -1;
  if (separator >= 0) suffix_.push_back(separator);
  if (frame.eos && eos_id() >= 0 && eos_id() != separator) suffix_.push_back(eos_id());
  find_stripping_tokens(data);
  std::vector<std::pair<std::string_view, int32_t>> literals = vocabulary_.of_types(kUserDefined);
  if (u2581_is_space) {
    respelled_.reserve(literals.size());  // so that they lie still in memory
    for (auto& [text, id] : literals) text = respelled_.emplace_back(replace_all(text, kSpaceMark, " "));
  }
  literals_ = PrefixMatcher(std::move(literals), u2581_is_space);
  specials_ = PrefixMatcher(vocabulary_.of_types(kSpecial));
}

// GGUF files do not carry what tokenizer.json calls lstrip and rstrip; llama.cpp knows the models that have
// them by their names.
void VocabularyTokenizer::find_stripping_tokens(const TokenizerData& data) {
  std::string name = data.name;
  for (char& c : name) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
  const auto contains = [](std::string_view text, std::string_view part) {
    return text.find(part) != std::string_view::npos;
  };
  const bool jina = contains(data.pre, "jina-v2-");
  const bool modern_bert = contains(name, "modern-bert");
  const bool phi3 = contains(name, "phi-3") || contains(name, "phi3");
  if (!jina && !modern_bert && !phi3) return;
  for (size_t i = 0; i < n_tokens(); ++i) {
    const auto id = static_cast<int32_t>(i);
    const TokenType type = vocabulary_.type(id);
    if (type == TokenType::kNormal || type == TokenType::kUnused || type == TokenType::kByte) continue;
    const std::string_view text = vocabulary_.text(id);
    if ((jina && text == "<mask>") || (modern_bert && text == "[MASK]")) strips_left_ = id;
    if (phi3 && text != "<unk>" && text != "<s>" && text != "<|endoftext|>") strips_right_.push_back(id);
  }
}

bool VocabularyTokenizer::strips_right(int32_t id) const {
  return std::binary_search(strips_right_.begin(), strips_right_.end(), id);
}

PrefixMatcher::Match VocabularyTokenizer::token_at(std::string_view text, size_t position,
                                                   size_t control_end) const {
  const PrefixMatcher::Match literal = literals_.longest(text, position);
  if (position >= control_end) return literal;
  // What stands behind a control token of the template must not make another token of it.
  const std::string_view control = text.substr(0, control_end);
  const PrefixMatcher::Match special = specials_.longest(control, position);
  const bool fits = position + literal.n_bytes <= control_end;
  const size_t n_literal = fits ? literal.n_bytes : literals_.longest(control, position).n_bytes;
  return special.id >= 0 && special.n_bytes >= n_literal ? special : literal;
}

Result<std::vector<int32_t>> VocabularyTokenizer::encode(std::string_view text, EncodeOptions options) const {
  if (text.size() > static_cast<size_t>(std::numeric_limits<int32_t>::max())) {
    return fail(ErrorCode::kInvalidArgument, "the text is larger than 2 GiB: split it");
  }
  if (const auto offset = utf8::first_invalid(text)) {
    return fail(ErrorCode::kInvalidArgument, "the text is not valid UTF-8 at byte " +
                                                 std::to_string(*offset) + ": convert it to UTF-8 first");
  }
  std::vector<int32_t> ids;
  if (options.add_special) ids = prefix_;

  const TextSpan whole{0, text.size()};
  std::span<const TextSpan> spans = options.control_spans;  // those that end behind the position
  if (options.parse_special) spans = {&whole, 1};
  size_t begin = 0;  // of the text since the last special token
  for (size_t position = 0; position < text.size();) {
    while (!spans.empty() && spans.front().end <= position) spans = spans.subspan(1);
    const bool inside = !spans.empty() && spans.front().begin <= position;
    const PrefixMatcher::Match match = token_at(text, position, inside ? spans.front().end : 0);
    if (match.id < 0) {
      ++position;
      continue;
    }
    std::string_view before = text.substr(begin, position - begin);
    if (strips_left(match.id)) before = utf8::without_trailing_spaces(before);
    if (!before.empty()) {
      auto encoded = encode_text(before, options.space_prefix || begin > 0, ids);
      if (!encoded) return tl::unexpected(encoded.error());
    }
    ids.push_back(match.id);
    position += match.n_bytes;
    if (strips_right(match.id)) position += utf8::leading_spaces(text.substr(position));
    begin = position;
  }
  if (begin < text.size()) {
    auto encoded = encode_text(text.substr(begin), options.space_prefix || begin > 0, ids);
    if (!encoded) return tl::unexpected(encoded.error());
  }

  if (options.add_special) ids.insert(ids.end(), suffix_.begin(), suffix_.end());
  return ids;
}

bool VocabularyTokenizer::splits_at(std::string_view text, size_t place) const {
  const EncodeOptions alone{.add_special = false, .space_prefix = false};
  const auto whole = encode(text, alone);
  auto first = encode(text.substr(0, place), alone);
  const auto second = encode(text.substr(place), alone);
  if (!whole || !first || !second) return false;
  first->insert(first->end(), second->begin(), second->end());
  return *first == *whole;
}

std::string VocabularyTokenizer::decode(const std::vector<int32_t>& ids, bool with_special) const {
  std::string text;
  for (const int32_t id : ids) text += piece(id, with_special);
  return text;
}

}  // namespace lazyfill
