#include "tokenizer/vocabulary.h"

#include <algorithm>
#include <array>
#include <limits>

#include "base/checked.h"
#include "tokenizer/utf8.h"

namespace lazyfill {
namespace {

// Also a tag of HTML, which Gemma's vocabulary holds as a user-defined token: it only ends a text where it is
// a control token.
constexpr std::string_view kTagName = "</s>";

// Tokens that end a turn or a text in the chat formats of published models.
constexpr std::array<std::string_view, 25> kEndNames{"<|endoftext|>",
                                                     "<|im_end|>",
                                                     "<|end|>",
                                                     "<|end_of_text|>",
                                                     "<|eot_id|>",
                                                     "<|eom_id|>",
                                                     "<|return|>",
                                                     "<|end_of_turn|>",
                                                     "<end_of_turn>",
                                                     "<end_of_utterance>",
                                                     "<|eot|>",
                                                     "<EOT>",
                                                     "<|call|>",
                                                     "<|calls|>",
                                                     "<|flush|>",
                                                     "_<EOT>",
                                                     "▁<EOT>",
                                                     "[EOT]",
                                                     "[EOS]",
                                                     "<eos>",
                                                     "<turn|>",
                                                     "<|tool_response>",
                                                     "[e~[",
                                                     kTagName,
                                                     "<｜end▁of▁sentence｜>"};

// The GPT-2 alphabet: visible Latin-1 characters stand for themselves, the other 68 bytes for U+0100 and up.
constexpr size_t kAlphabetEnd = 256 + 68;

bool is_end_name(std::string_view text) {
  return std::find(kEndNames.begin(), kEndNames.end(), text) != kEndNames.end();
}

std::array<int16_t, kAlphabetEnd> make_byte_of() {
  std::array<int16_t, kAlphabetEnd> byte_of{};
  byte_of.fill(-1);
  size_t next = 256;
  for (int16_t byte = 0; byte < 256; ++byte) {
    const bool visible = (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
    byte_of[visible ? static_cast<size_t>(byte) : next++] = byte;
  }
  return byte_of;
}

Result<int32_t> checked_id(std::optional<uint64_t> id, size_t n_tokens, std::string_view key) {
  if (!id) return -1;
  if (*id >= n_tokens) {
    return fail(ErrorCode::kInvalidFile, std::string(key) + " is " + std::to_string(*id) +
                                             ", but the vocabulary has " + std::to_string(n_tokens) +
                                             " tokens");
  }
  return static_cast<int32_t>(*id);
}

}  // namespace

bool append_byte_level(std::string_view token, std::vector<char>& out) {
  static const std::array<int16_t, kAlphabetEnd> kByteOf = make_byte_of();
  const size_t before = out.size();
  for (size_t position = 0; position < token.size();) {
    const utf8::Decoded c = utf8::decode(token, position);
    if (c.n_bytes == 0 || c.code_point >= kAlphabetEnd || kByteOf[c.code_point] < 0) {
      out.resize(before);
      return false;
    }
    out.push_back(static_cast<char>(kByteOf[c.code_point]));
    position += c.n_bytes;
  }
  return true;
}

Result<Vocabulary> Vocabulary::build(const TokenizerData& data, Form form, const Names& names) {
  if (data.tokens.empty()) return fail(ErrorCode::kInvalidFile, "tokenizer.ggml.tokens is empty");
  if (data.tokens.size() > static_cast<size_t>(std::numeric_limits<int32_t>::max())) {
    return fail(ErrorCode::kInvalidFile, "tokenizer.ggml.tokens has more entries than token ids can count");
  }
  Vocabulary vocabulary;
  if (auto read = vocabulary.read_types(data); !read) return tl::unexpected(read.error());
  if (auto read = vocabulary.read_texts(data, form); !read) return tl::unexpected(read.error());
  if (auto read = vocabulary.read_special_ids(data); !read) return tl::unexpected(read.error());
  vocabulary.find_unsaid_ids(names);
  vocabulary.find_fim_tokens(data.fim);
  vocabulary.find_end_tokens();
  return vocabulary;
}

Result<void> Vocabulary::read_types(const TokenizerData& data) {
  types_.assign(data.tokens.size(), TokenType::kNormal);
  if (data.types.empty()) return {};
  if (data.types.size() != data.tokens.size()) {
    return fail(ErrorCode::kInvalidFile, "tokenizer.ggml.token_type has " +
                                             std::to_string(data.types.size()) + " entries for " +
                                             std::to_string(data.tokens.size()) + " tokens");
  }
  for (size_t i = 0; i < data.types.size(); ++i) {
    if (data.types[i] < 0 || data.types[i] > static_cast<int64_t>(TokenType::kByte)) {
      return fail(ErrorCode::kInvalidFile, "tokenizer.ggml.token_type of token " + std::to_string(i) +
                                               " is not one of the types 0 to 6");
    }
    if (data.types[i] != 0)
      types_[i] = static_cast<TokenType>(data.types[i]);  // 0: undefined, taken as normal
  }
  return {};
}

Result<void> Vocabulary::read_texts(const TokenizerData& data, Form form) {
  std::optional<uint64_t> n_bytes = 0;
  for (const std::string& token : data.tokens) {
    n_bytes = checked_add(*n_bytes, token.size());
    if (!n_bytes || *n_bytes > std::numeric_limits<uint32_t>::max()) {
      return fail(ErrorCode::kInvalidFile, "tokenizer.ggml.tokens is larger than 4 GiB");
    }
  }
  bytes_.reserve(static_cast<size_t>(*n_bytes));
  offsets_.reserve(data.tokens.size() + 1);
  offsets_.push_back(0);
  for (size_t i = 0; i < data.tokens.size(); ++i) {
    const std::string& token = data.tokens[i];
    const bool encoded =
        form == Form::kByteLevel && (types_[i] == TokenType::kNormal || types_[i] == TokenType::kUnused);
    if (!encoded || !append_byte_level(token, bytes_)) {
      if (encoded) types_[i] = TokenType::kUnused;  // no merge can make it
      bytes_.insert(bytes_.end(), token.begin(), token.end());
    }
    offsets_.push_back(static_cast<uint32_t>(bytes_.size()));
  }
  return {};
}

Result<void> Vocabulary::read_special_ids(const TokenizerData& data) {
  // Encoders begin with what they call a class token; files name it by either key.
  const auto bos = data.bos_id ? checked_id(data.bos_id, size(), "tokenizer.ggml.bos_token_id")
                               : checked_id(data.class_id, size(), "tokenizer.ggml.cls_token_id");
  const auto eos = checked_id(data.eos_id, size(), "tokenizer.ggml.eos_token_id");
  const auto unknown = checked_id(data.unknown_id, size(), "tokenizer.ggml.unknown_token_id");
  const auto eot = checked_id(data.eot_id, size(), "tokenizer.ggml.eot_token_id");
  const auto eom = checked_id(data.eom_id, size(), "tokenizer.ggml.eom_token_id");
  const auto separator = checked_id(data.separator_id, size(), "tokenizer.ggml.seperator_token_id");
  for (const auto* id : {&bos, &eos, &unknown, &eot, &eom, &separator}) {
    if (!*id) return tl::unexpected(id->error());
  }
  bos_id_ = *bos;
  eos_id_ = *eos;
  unknown_id_ = *unknown;
  separator_id_ = *separator;
  for (const int32_t id : {*eos, *eot, *eom}) {
    if (id >= 0) end_ids_.push_back(id);
  }
  return {};
}

void Vocabulary::find_unsaid_ids(const Names& names) {
  for (size_t i = 0; i < size(); ++i) {
    const auto id = static_cast<int32_t>(i);
    if (types_[i] == TokenType::kUnknown && unknown_id_ < 0) unknown_id_ = id;
    if (types_[i] != TokenType::kControl) continue;
    if (bos_id_ < 0 && text(id) == names.bos) bos_id_ = id;
    if (separator_id_ < 0 && text(id) == names.separator) separator_id_ = id;
    if (eos_id_ < 0 && text(id) == names.eos) {
      eos_id_ = id;
      end_ids_.push_back(id);
    }
  }
}

void Vocabulary::find_end_tokens() {
  std::vector<int32_t> between;  // parts of a turn, where the end of the turn has another name
  bool ends_otherwise = false;
  for (size_t i = 0; i < size(); ++i) {
    const auto id = static_cast<int32_t>(i);
    if (!is_end_name(text(id)) || (types_[i] != TokenType::kControl && text(id) == kTagName)) continue;
    // Converters leave other types to it, by which text that spells it would become the token.
    types_[i] = TokenType::kControl;
    (text(id) == "<|end|>" ? between : end_ids_).push_back(id);
    ends_otherwise = ends_otherwise || text(id) == "<|call|>" || text(id) == "<|calls|>";
  }
  if (!ends_otherwise) end_ids_.insert(end_ids_.end(), between.begin(), between.end());
  std::sort(end_ids_.begin(), end_ids_.end());
}

bool Vocabulary::is_end(int32_t id) const {
  return std::binary_search(end_ids_.begin(), end_ids_.end(), id);
}

std::vector<std::pair<std::string_view, int32_t>> Vocabulary::of_types(
    std::span<const TokenType> types) const {
  std::vector<std::pair<std::string_view, int32_t>> found;
  for (size_t i = 0; i < size(); ++i) {
    if (std::find(types.begin(), types.end(), types_[i]) == types.end()) continue;
    found.emplace_back(text(static_cast<int32_t>(i)), static_cast<int32_t>(i));
  }
  return found;
}

}  // namespace lazyfill
