// Text to token ids and back, from the metadata of a GGUF file.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gguf/file.h"
#include "lazyfill/error.h"
#include "lazyfill/types.h"

namespace lazyfill {

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  // Reads tokenizer.ggml.*; an unsupported model or pre-tokeniser is named, with the list of those that are.
  static Result<std::unique_ptr<Tokenizer>> from_gguf(const gguf::File& file);

  struct EncodeOptions {
    bool add_special = true;     // BOS (and EOS) where the file asks for them
    bool parse_special = false;  // text such as "<|im_start|>" becomes the control token, not its characters
    // Without parse_special: so it does where all of its characters lie in one of these parts of the text,
    // which are ascending and apart.
    std::span<const TextSpan> control_spans = {};
    bool space_prefix = true;  // the space that some models put in front of a text; off: the text alone
  };
  // Fails with the byte offset when text is not valid UTF-8. Bytes for which a byte-level vocabulary has no
  // token (SmolLM2: some control characters) are dropped, as its reference tokeniser does.
  virtual Result<std::vector<int32_t>> encode(std::string_view text, EncodeOptions options) const = 0;

  // The exact bytes a token stands for; control tokens give their name when `with_special`, else nothing.
  // An id that no token has, a negative one too, stands for nothing.
  virtual std::string piece(int32_t id, bool with_special) const = 0;
  // The bytes of a whole sequence: the round trip of encode for ordinary text. A space that encode puts in
  // front of a text is taken away again.
  virtual std::string decode(const std::vector<int32_t>& ids, bool with_special) const = 0;

  // How many of the first bytes of valid text are encoded for good: with whatever behind them, they give the
  // ids that they have alone, and the rest gives those that it has alone, without a prefix. 0: unknown.
  virtual size_t settled_bytes(std::string_view) const { return 0; }

  virtual size_t n_tokens() const = 0;
  virtual int32_t bos_id() const = 0;  // -1: none
  virtual int32_t eos_id() const = 0;  // -1: none
  // Ends generation: EOS, and end-of-turn tokens of chat models.
  virtual bool is_end(int32_t id) const = 0;
  virtual std::string_view kind() const = 0;  // "bpe (smollm)", "sentencepiece"
  virtual const FimTokens& fim_tokens() const {
    static const FimTokens kNone;
    return kNone;
  }
  // Sentences about what the file says and what was left out because it cannot be meant.
  const std::vector<std::string>& warnings() const { return warnings_; }

 private:
  std::vector<std::string> warnings_;
};

// Turns a stream of generated tokens into text that is always whole UTF-8 characters; what no character can
// begin with becomes U+FFFD, as Python's errors="replace" does it. Control tokens give nothing.
class StreamingDecoder {
 public:
  explicit StreamingDecoder(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}
  // Text that became complete with this token; may be empty.
  std::string push(int32_t id);
  // What is left at the end: nothing, or U+FFFD for an incomplete character.
  std::string finish();

 private:
  const Tokenizer& tokenizer_;
  std::string pending_;
};

}  // namespace lazyfill
