// What SentencePiece's BPE and unigram tokenisers have in common: normalisation, what becomes of characters
// that no piece covers, the way back.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/sentencepiece_normalizer.h"
#include "tokenizer/vocabulary_tokenizer.h"

namespace lazyfill {

class SentencePieceBase : public VocabularyTokenizer {
 public:
  std::string piece(int32_t id, bool with_special) const override;
  std::string decode(const std::vector<int32_t>& ids, bool with_special) const override;
  size_t settled_bytes(std::string_view text) const override;

 protected:
  SentencePieceBase(Vocabulary vocabulary, const TokenizerData& data, CharacterMap map, Frame frame);

  // Bytes of the character, or what is left of one, that starts at `position`; at least 1.
  static size_t character_bytes(std::string_view text, size_t position);

  // Whether what stands before and after a word's border has nothing to do with each other.
  virtual bool words_are_apart() const = 0;

  // Where the word ends that starts at `begin`: at a space after which no piece can reach back. What lies
  // before and after is encoded without regard to each other, in memory that stays in the cache, and sums of
  // scores stay small.
  size_t word_end(std::string_view text, size_t begin) const;

  // Spells a character without a piece in bytes, or gives the unknown token, one for a run of them; returns
  // whether it was that. `after_unknown`: what it returned for the piece before.
  bool append_unknown(std::string_view character, bool after_unknown, std::vector<int32_t>& ids) const;

 private:
  Result<void> encode_text(std::string_view text, bool space_prefix, std::vector<int32_t>& ids) const final;
  void note_joints(std::string_view piece);
  // Appends the ids of normalised text, not empty.
  virtual void encode_normalized(std::string_view text, std::vector<int32_t>& ids) const = 0;

  SentencePieceNormalizer normalizer_;
  std::array<int32_t, 256> byte_ids_{};
  std::array<bool, 256> reaches_over_space_{};  // the last byte before a space inside some piece
};

// Refuses scores that are missing or no numbers.
Result<void> check_scores(const TokenizerData& data);
Result<CharacterMap> read_character_map(const TokenizerData& data);

}  // namespace lazyfill
