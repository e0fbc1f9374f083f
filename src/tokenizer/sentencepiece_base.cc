#include "tokenizer/sentencepiece_base.h"

#include <algorithm>
#include <cmath>

#include "tokenizer/utf8.h"

namespace lazyfill {

SentencePieceBase::SentencePieceBase(Vocabulary vocabulary, const TokenizerData& data, CharacterMap map,
                                     Frame frame)
    : VocabularyTokenizer(std::move(vocabulary), frame, data, /*u2581_is_space=*/true),
      normalizer_(std::move(map),
                  {.add_space_prefix = data.add_space_prefix.value_or(true),
                   .remove_extra_whitespaces = data.remove_extra_whitespaces.value_or(false)}) {
  byte_ids_.fill(-1);
  for (size_t i = 0; i < n_tokens(); ++i) {
    const auto id = static_cast<int32_t>(i);
    const TokenType type = this->vocabulary().type(id);
    if (type == TokenType::kNormal || type == TokenType::kUnused) note_joints(this->vocabulary().text(id));
    if (type == TokenType::kByte) {
      if (const auto byte = byte_of_token(this->vocabulary().text(id))) byte_ids_[*byte] = id;
    }
  }
}

void SentencePieceBase::note_joints(std::string_view piece) {
  for (size_t i = piece.find(kSpaceMark, 1); i < piece.size(); i = piece.find(kSpaceMark, i + 1)) {
    if (!piece.substr(0, i).ends_with(kSpaceMark)) {
      reaches_over_space_[static_cast<unsigned char>(piece[i - 1])] = true;
    }
  }
}

size_t SentencePieceBase::word_end(std::string_view text, size_t begin) const {
  size_t i = text.find(kSpaceMark, begin + 1);
  while (i < text.size()) {
    const bool in_run = text.substr(begin, i - begin).ends_with(kSpaceMark);
    if (!in_run && !reaches_over_space_[static_cast<unsigned char>(text[i - 1])]) return i;
    i = text.find(kSpaceMark, i + 1);
  }
  return text.size();
}

size_t SentencePieceBase::settled_bytes(std::string_view text) const {
  constexpr size_t kSettledBytes = 24;  // no literal token reaches as far
  if (text.size() < 2 * kSettledBytes || !words_are_apart() || !normalizer_.only_marks_spaces()) return 0;
  for (size_t i = text.size() - kSettledBytes; i > 0; --i) {
    if (text[i] == ' ' && text[i - 1] != ' ' && text[i + 1] != ' ' &&
        !reaches_over_space_[static_cast<unsigned char>(text[i - 1])] && splits_at(text, i))
      return i;
  }
  return 0;
}

size_t SentencePieceBase::character_bytes(std::string_view text, size_t position) {
  return std::max<size_t>(1, utf8::decode(text, position).n_bytes);
}

std::string SentencePieceBase::piece(int32_t id, bool with_special) const {
  const TokenType type = vocabulary().type(id);
  if (vocabulary().is_special(id)) return with_special ? std::string(vocabulary().text(id)) : std::string();
  if (type == TokenType::kByte) {
    if (const auto byte = byte_of_token(vocabulary().text(id)))
      return std::string(1, static_cast<char>(*byte));
  }
  return replace_all(vocabulary().text(id), kSpaceMark, " ");
}

std::string SentencePieceBase::decode(const std::vector<int32_t>& ids, bool with_special) const {
  std::string text;
  const bool adds_space = normalizer_.options().add_space_prefix;
  bool after_cut = adds_space;  // encode put a space in front of what comes now
  for (const int32_t id : ids) {
    const std::string whole = piece(id, with_special);
    std::string_view part = whole;
    if (vocabulary().type(id) == TokenType::kUserDefined) {
      after_cut = adds_space;
    } else if (!part.empty()) {
      const bool is_special = vocabulary().is_special(id);
      if (after_cut && !is_special && part.starts_with(' ')) part.remove_prefix(1);
      after_cut = false;
    }
    text += part;
  }
  return text;
}

bool SentencePieceBase::append_unknown(std::string_view character, bool after_unknown,
                                       std::vector<int32_t>& ids) const {
  const auto id_of = [&](char c) { return byte_ids_[static_cast<unsigned char>(c)]; };
  if (std::all_of(character.begin(), character.end(), [&](char c) { return id_of(c) >= 0; })) {
    for (const char c : character) ids.push_back(id_of(c));
    return false;
  }
  if (vocabulary().unknown_id() >= 0 && !after_unknown) ids.push_back(vocabulary().unknown_id());
  return true;
}

Result<void> SentencePieceBase::encode_text(std::string_view text, bool space_prefix,
                                            std::vector<int32_t>& ids) const {
  const std::string normalized = normalizer_.normalize(text, space_prefix);
  if (!normalized.empty()) encode_normalized(normalized, ids);
  return {};
}

Result<void> check_scores(const TokenizerData& data) {
  if (data.scores.size() != data.tokens.size()) {
    return fail(ErrorCode::kInvalidFile, "tokenizer.ggml.scores has " + std::to_string(data.scores.size()) +
                                             " entries for " + std::to_string(data.tokens.size()) +
                                             " tokens");
  }
  if (std::any_of(data.scores.begin(), data.scores.end(), [](float score) { return std::isnan(score); })) {
    return fail(ErrorCode::kInvalidFile, "tokenizer.ggml.scores holds a value that is not a number");
  }
  return {};
}

Result<CharacterMap> read_character_map(const TokenizerData& data) {
  std::vector<std::byte> bytes;
  bytes.reserve(data.character_map.size());
  for (const int64_t value : data.character_map) {
    if (value < -128 || value > 255) {
      return fail(ErrorCode::kInvalidFile, "tokenizer.ggml.precompiled_charsmap holds " +
                                               std::to_string(value) + ", which is no byte");
    }
    bytes.push_back(static_cast<std::byte>(value & 0xFF));
  }
  return CharacterMap::read(bytes);
}

}  // namespace lazyfill
