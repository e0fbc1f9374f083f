// What the tokenisers have in common: special tokens, BOS and EOS, the way back to text.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/tokenizer.h"
#include "tokenizer/vocabulary.h"

namespace lazyfill {

class VocabularyTokenizer : public Tokenizer {
 public:
  Result<std::vector<int32_t>> encode(std::string_view text, EncodeOptions options) const final;
  std::string decode(const std::vector<int32_t>& ids, bool with_special) const override;
  size_t n_tokens() const final { return vocabulary_.size(); }
  int32_t bos_id() const final { return vocabulary_.bos_id(); }
  int32_t eos_id() const final { return vocabulary_.eos_id(); }
  bool is_end(int32_t id) const final { return vocabulary_.is_end(id); }
  const FimTokens& fim_tokens() const final { return vocabulary_.fim_tokens(); }

 protected:
  // What stands around a text; an id that the vocabulary has not is left out.
  struct Frame {
    bool bos = false;
    bool separator = false;
    bool eos = false;
  };
  // User-defined tokens are found in every text as they are written. `u2581_is_space`: they do not tell the
  // two apart.
  VocabularyTokenizer(Vocabulary vocabulary, Frame frame, const TokenizerData& data,
                      bool u2581_is_space = false);

  const Vocabulary& vocabulary() const { return vocabulary_; }
  // The ids of the text are those of its two parts.
  bool splits_at(std::string_view text, size_t place) const;

 private:
  // Appends the ids of valid UTF-8 text, not empty, that lies between special and user-defined tokens.
  virtual Result<void> encode_text(std::string_view text, bool space_prefix,
                                   std::vector<int32_t>& ids) const = 0;

  // The literal or control token at a place, the longest one; `end`: where control tokens must end.
  PrefixMatcher::Match token_at(std::string_view text, size_t position, size_t control_end) const;
  // Whether the token swallows the spaces before or after it.
  bool strips_left(int32_t id) const { return id == strips_left_; }
  bool strips_right(int32_t id) const;
  void find_stripping_tokens(const TokenizerData& data);

  Vocabulary vocabulary_;
  std::vector<std::string> respelled_;  // user-defined tokens with spaces for U+2581, which literals_ views
  PrefixMatcher literals_;              // user-defined tokens
  PrefixMatcher specials_;
  std::vector<int32_t> prefix_;
  std::vector<int32_t> suffix_;
  int32_t strips_left_ = -1;           // -1: none
  std::vector<int32_t> strips_right_;  // sorted
};

// What a file says of its tokeniser. The spans lie in `file`, which must outlive them.
Result<TokenizerData> read_tokenizer_data(const gguf::File& file);

Result<std::unique_ptr<Tokenizer>> make_bpe_tokenizer(const TokenizerData& data);
Result<std::unique_ptr<Tokenizer>> make_sentencepiece_tokenizer(const TokenizerData& data);
Result<std::unique_ptr<Tokenizer>> make_unigram_tokenizer(const TokenizerData& data);
Result<std::unique_ptr<Tokenizer>> make_wordpiece_tokenizer(const TokenizerData& data);
// One of these, by data.model.
Result<std::unique_ptr<Tokenizer>> make_tokenizer(const TokenizerData& data);

}  // namespace lazyfill
