// What a GGUF file says about its tokeniser, checked, and the tokens' texts in one block of memory.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lazyfill/error.h"
#include "lazyfill/types.h"
#include "tokenizer/prefix_matcher.h"

namespace lazyfill {

// The keys tokenizer.ggml.* as they stand in the file. The spans are only read while a tokeniser is made of
// them.
struct TokenizerData {
  std::string model;  // "gpt2": byte-level BPE, "llama" and "t5": SentencePiece, "bert": WordPiece
  std::string pre;    // splitter of byte-level BPE
  std::string name;   // general.name: some models' habits are told by nothing else
  std::span<const std::string> tokens;
  std::span<const std::string> merges;  // "left right", the earlier the stronger
  std::vector<float> scores;            // empty: none
  std::vector<int64_t> types;           // empty: all normal
  std::optional<uint64_t> bos_id, eos_id, unknown_id, eot_id, eom_id, separator_id, class_id;
  FimTokens fim;
  std::vector<std::string> warnings;  // of what was left out of this
  std::optional<bool> add_bos, add_eos, add_separator, add_space_prefix, remove_extra_whitespaces;
  std::optional<bool> lower_case, strip_accents;  // of WordPiece
  std::vector<int64_t> character_map;             // bytes; empty: none
};

// Numbers of tokenizer.ggml.token_type.
enum class TokenType : int8_t {
  kNormal = 1,
  kUnknown = 2,
  kControl = 3,
  kUserDefined = 4,
  kUnused = 5,
  kByte = 6
};

class Vocabulary {
 public:
  enum class Form {
    kPlain,      // tokens are UTF-8 text
    kByteLevel,  // normal tokens are bytes, each written as one character of the GPT-2 alphabet
  };
  // Control tokens that stand for what a file leaves unsaid, if they exist.
  struct Names {
    std::string_view bos, eos, separator;
  };
  static Result<Vocabulary> build(const TokenizerData& data, Form form, const Names& names);

  size_t size() const { return types_.size(); }
  // Models have rows without a token, and callers ids from anywhere: each of these is an unused token of no
  // text.
  bool has(int32_t id) const { return id >= 0 && static_cast<size_t>(id) < size(); }
  // The bytes of the token: those that the GPT-2 alphabet stands for, otherwise as in the file.
  std::string_view text(int32_t id) const {
    if (!has(id)) return {};
    const auto i = static_cast<size_t>(id);
    return {bytes_.data() + offsets_[i], offsets_[i + 1] - offsets_[i]};
  }
  TokenType type(int32_t id) const { return has(id) ? types_[static_cast<size_t>(id)] : TokenType::kUnused; }
  bool is_special(int32_t id) const {
    return type(id) == TokenType::kControl || type(id) == TokenType::kUnknown;
  }

  int32_t bos_id() const { return bos_id_; }  // -1: none, as for the others
  int32_t eos_id() const { return eos_id_; }
  int32_t unknown_id() const { return unknown_id_; }
  int32_t separator_id() const { return separator_id_; }
  bool is_end(int32_t id) const;
  const FimTokens& fim_tokens() const { return fim_; }

  std::vector<std::pair<std::string_view, int32_t>> of_types(std::span<const TokenType> types) const;

 private:
  Result<void> read_types(const TokenizerData& data);
  Result<void> read_special_ids(const TokenizerData& data);
  Result<void> read_texts(const TokenizerData& data, Form form);
  void find_unsaid_ids(const Names& names);
  void find_end_tokens();
  void find_fim_tokens(const FimTokens& stated);

  std::vector<char> bytes_;        // all texts, one after another
  std::vector<uint32_t> offsets_;  // [n_tokens + 1]
  std::vector<TokenType> types_;   // [n_tokens]
  std::vector<int32_t> end_ids_;
  FimTokens fim_;
  int32_t bos_id_ = -1;
  int32_t eos_id_ = -1;
  int32_t unknown_id_ = -1;
  int32_t separator_id_ = -1;
};

// Appends the bytes that a token of the GPT-2 alphabet stands for; false when it holds another character.
bool append_byte_level(std::string_view token, std::vector<char>& out);

}  // namespace lazyfill
