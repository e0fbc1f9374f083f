#include "tokenizer/tokenizer.h"

#include "tokenizer/utf8.h"
#include "tokenizer/vocabulary_tokenizer.h"

namespace lazyfill {

Result<std::unique_ptr<Tokenizer>> make_tokenizer(const TokenizerData& data) {
  if (data.model == "gpt2" || data.model == "gemma4") return make_bpe_tokenizer(data);
  if (data.model == "llama") return make_sentencepiece_tokenizer(data);
  if (data.model == "t5") return make_unigram_tokenizer(data);
  if (data.model == "bert") return make_wordpiece_tokenizer(data);
  return fail(ErrorCode::kUnsupported,
              "the tokeniser \"" + utf8::printable(data.model) +
                  "\" (tokenizer.ggml.model) is not supported; supported: gpt2 and gemma4 (BPE), llama "
                  "(SentencePiece), t5 (unigram), bert (WordPiece)");
}

std::string StreamingDecoder::push(int32_t id) {
  pending_ += tokenizer_.piece(id, false);
  const size_t n_whole = pending_.size() - utf8::incomplete_tail(pending_);
  std::string whole = utf8::replace_invalid(std::string_view(pending_).substr(0, n_whole));
  pending_.erase(0, n_whole);
  return whole;
}

std::string StreamingDecoder::finish() {
  std::string rest = utf8::replace_invalid(pending_);
  pending_.clear();
  return rest;
}

}  // namespace lazyfill
