// BERT's WordPiece (Devlin et al., arXiv 1810.04805): text is cleaned and cut at spaces and punctuation, and
// each word becomes the longest piece that it begins with, then the longest that follows, and so on; a word
// that this does not cover is unknown as a whole. GGUF files mark pieces that begin a word by U+2581, where
// BERT's own files mark those that do not by "##".
#include <algorithm>

#include "tokenizer/piece_trie.h"
#include "tokenizer/sentencepiece_normalizer.h"
#include "tokenizer/utf8.h"
#include "tokenizer/vocabulary_tokenizer.h"

namespace lazyfill {
namespace {

constexpr size_t kMaxWordCharacters = 100;  // longer ones are unknown

bool is_ideograph(char32_t c) {
  constexpr std::pair<char32_t, char32_t> kBlocks[] = {
      {0x3400, 0x4DBF},   {0x4E00, 0x9FFF},   {0xF900, 0xFAFF},   {0x20000, 0x2A6DF},
      {0x2A700, 0x2B73F}, {0x2B740, 0x2B81F}, {0x2B920, 0x2CEAF},  // so in the reference: 2B820 was meant
      {0x2F800, 0x2FA1F}};
  return std::any_of(std::begin(kBlocks), std::end(kBlocks),
                     [c](const auto& block) { return c >= block.first && c <= block.second; });
}

bool stands_alone(char32_t c) {
  const bool ascii_symbol = c < 0x7F && c > ' ' && !utf8::is_letter(c) && !utf8::is_number(c);
  return ascii_symbol || is_ideograph(c) || utf8::is_punctuation(c);
}

class WordPieceTokenizer final : public VocabularyTokenizer {
 public:
  WordPieceTokenizer(Vocabulary vocabulary, const TokenizerData& data)
      : VocabularyTokenizer(std::move(vocabulary),
                            {.bos = data.add_bos.value_or(true),
                             .separator = data.add_separator.value_or(true),
                             .eos = data.add_eos.value_or(false)},
                            data),
        lower_case_(data.lower_case.value_or(true)),
        strip_accents_(data.strip_accents.value_or(lower_case_)) {
    std::vector<std::pair<std::string_view, int32_t>> pieces;
    for (size_t i = 0; i < n_tokens(); ++i) {
      const auto id = static_cast<int32_t>(i);
      if (this->vocabulary().is_special(id)) continue;
      pieces.emplace_back(this->vocabulary().text(id), id);
    }
    pieces_ = PieceTrie(std::move(pieces));
    word_start_ = pieces_.find(kSpaceMark);
  }

  std::string piece(int32_t id, bool with_special) const override {
    if (vocabulary().is_special(id)) return with_special ? std::string(vocabulary().text(id)) : std::string();
    return replace_all(vocabulary().text(id), kSpaceMark, " ");
  }
  std::string decode(const std::vector<int32_t>& ids, bool with_special) const override {
    std::string text = VocabularyTokenizer::decode(ids, with_special);
    if (text.starts_with(' ')) text.erase(0, 1);
    return text;
  }
  std::string_view kind() const override { return "wordpiece"; }

 private:
  Result<void> encode_text(std::string_view text, bool /*space_prefix*/,
                           std::vector<int32_t>& ids) const override {
    std::string stripped;
    if (strip_accents_) {
      auto decomposed = utf8::decompose(text);
      if (!decomposed) return tl::unexpected(decomposed.error());
      stripped = std::move(*decomposed);
      text = stripped;
    }
    std::string word;
    size_t n_characters = 0;
    const auto finish = [&] {
      if (n_characters > 0) append_word(word, n_characters, ids);
      word.clear();
      n_characters = 0;
    };
    for (size_t position = 0; position < text.size();) {
      const utf8::Decoded character = utf8::decode(text, position);
      const char32_t c = character.code_point;
      position += character.n_bytes;
      const bool space = c == '\t' || c == '\n' || c == '\r' || (utf8::is_space(c) && !utf8::is_other(c));
      if (space) finish();
      if (space || utf8::is_other(c) || c == utf8::kReplacement) continue;
      if (strip_accents_ && utf8::is_accent(c)) continue;
      const bool alone = stands_alone(c);
      if (alone) finish();
      const size_t before = word.size();
      if (lower_case_) {
        utf8::append_lower_case(word, c);
      } else {
        utf8::append(word, c);
      }
      n_characters += utf8::length(std::string_view(word).substr(before));
      if (alone) finish();
    }
    finish();
    return {};
  }

  struct Match {
    int32_t id = -1;  // -1: none
    size_t n_bytes = 0;
  };

  Match longest(std::string_view text, bool at_word_start) const {
    // Inside a word the mark itself is a character like others, but no beginning of longer pieces: those
    // begin a word.
    if (!at_word_start && word_start_ != PieceTrie::kNowhere && text.starts_with(kSpaceMark))
      return {pieces_.id(word_start_), kSpaceMark.size()};
    uint32_t node = at_word_start ? word_start_ : PieceTrie::kRoot;
    Match match;
    for (size_t end = 0; end < text.size() && node != PieceTrie::kNowhere;) {
      node = pieces_.next(node, static_cast<unsigned char>(text[end++]));
      if (node != PieceTrie::kNowhere && pieces_.id(node) >= 0) match = {pieces_.id(node), end};
    }
    return match;
  }

  void append_word(std::string_view word, size_t n_characters, std::vector<int32_t>& ids) const {
    const size_t n_before = ids.size();
    bool covered = n_characters <= kMaxWordCharacters;
    for (size_t begin = 0; covered && begin < word.size();) {
      const Match match = longest(word.substr(begin), begin == 0);
      covered = match.id >= 0;
      if (covered) ids.push_back(match.id);
      begin += match.n_bytes;
    }
    if (covered) return;
    ids.resize(n_before);
    if (vocabulary().unknown_id() >= 0) ids.push_back(vocabulary().unknown_id());
  }

  bool lower_case_ = true;
  bool strip_accents_ = true;
  PieceTrie pieces_;
  uint32_t word_start_ = PieceTrie::kRoot;  // where the mark of a word's beginning leads
};

}  // namespace

Result<std::unique_ptr<Tokenizer>> make_wordpiece_tokenizer(const TokenizerData& data) {
  auto vocabulary =
      Vocabulary::build(data, Vocabulary::Form::kPlain, {.bos = "[CLS]", .eos = "", .separator = "[SEP]"});
  if (!vocabulary) return tl::unexpected(vocabulary.error());
  return std::make_unique<WordPieceTokenizer>(std::move(*vocabulary), data);
}

}  // namespace lazyfill
