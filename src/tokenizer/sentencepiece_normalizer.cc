#include "tokenizer/sentencepiece_normalizer.h"

#include <algorithm>

#include "tokenizer/utf8.h"

namespace lazyfill {
namespace {

void append_marked(std::string& out, std::string_view text) {
  for (const char c : text) {
    if (c == ' ') {
      out.append(kSpaceMark);
    } else {
      out += c;
    }
  }
}

}  // namespace

std::string replace_all(std::string_view text, std::string_view from, std::string_view to) {
  std::string out;
  out.reserve(text.size());
  for (size_t position = 0; position < text.size();) {
    const size_t found = std::min(text.find(from, position), text.size());
    out.append(text, position, found - position);
    if (found == text.size()) break;
    out.append(to);
    position = found + from.size();
  }
  return out;
}

std::optional<unsigned char> byte_of_token(std::string_view token) {
  if (token.size() != 6 || token.substr(0, 3) != "<0x" || token[5] != '>') return std::nullopt;
  int value = 0;
  for (const char c : token.substr(3, 2)) {
    const bool digit = c >= '0' && c <= '9';
    const bool letter = (c | 0x20) >= 'a' && (c | 0x20) <= 'f';
    if (!digit && !letter) return std::nullopt;
    value = value * 16 + (digit ? c - '0' : (c | 0x20) - 'a' + 10);
  }
  return static_cast<unsigned char>(value);
}

SentencePieceNormalizer::Piece SentencePieceNormalizer::first_piece(std::string_view text) const {
  if (const CharacterMap::Match match = map_.longest(text); match.n_bytes > 0) {
    return {match.replacement, match.n_bytes};
  }
  const size_t n_bytes = utf8::decode(text, 0).n_bytes;
  // A rule of a strange file may match half a character; what is left of it is then no character.
  if (n_bytes == 0) return {"\xEF\xBF\xBD", 1};
  return {text.substr(0, n_bytes), n_bytes};
}

std::string SentencePieceNormalizer::normalize(std::string_view text, bool space_prefix) const {
  space_prefix = space_prefix && options_.add_space_prefix;
  const bool removes = options_.remove_extra_whitespaces;
  if (map_.empty() && !removes) {
    std::string out = replace_all(text, " ", kSpaceMark);
    if (space_prefix) out.insert(0, kSpaceMark);
    return out;
  }
  while (removes && !text.empty()) {
    const Piece piece = first_piece(text);
    if (piece.text != " ") break;
    text.remove_prefix(piece.n_bytes);
  }
  std::string out;
  if (text.empty()) return out;
  out.reserve(text.size() + text.size() / 2);
  if (space_prefix) out.append(kSpaceMark);
  bool after_space = removes;
  while (!text.empty()) {
    Piece piece = first_piece(text);
    text.remove_prefix(piece.n_bytes);
    while (after_space && piece.text.starts_with(' ')) piece.text.remove_prefix(1);
    if (piece.text.empty()) continue;
    append_marked(out, piece.text);
    after_space = removes && piece.text.ends_with(' ');
  }
  while (removes && out.ends_with(kSpaceMark)) out.resize(out.size() - kSpaceMark.size());
  return out;
}

}  // namespace lazyfill
