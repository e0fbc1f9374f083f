// The keys tokenizer.ggml.* of a file, as the GGUF specification and the files of published models have them.
#include <utility>

#include "tokenizer/tokenizer.h"
#include "tokenizer/vocabulary_tokenizer.h"

namespace lazyfill {
namespace {

// The strings stay where the file holds them: a vocabulary is too large to copy for nothing.
Result<std::span<const std::string>> strings_of(const gguf::File& file, std::string_view key) {
  const gguf::Value* value = file.find(key);
  if (value == nullptr) return fail(ErrorCode::kInvalidFile, "the file has no " + std::string(key));
  if (const auto* array = std::get_if<gguf::Array>(value)) {
    if (const auto* strings = std::get_if<std::vector<std::string>>(array)) return std::span(*strings);
  }
  return fail(ErrorCode::kInvalidFile, std::string(key) + " is not an array of strings");
}

// Reads an optional key into `target`: nothing when it is absent, an error when it is not what it should be.
template <class T, class Getter>
Result<void> read_optional(const gguf::File& file, std::string_view key, Getter getter, T& target) {
  if (file.find(key) == nullptr) return {};
  auto value = (file.*getter)(key);
  if (!value) return tl::unexpected(value.error());
  target = std::move(*value);
  return {};
}

}  // namespace

Result<TokenizerData> read_tokenizer_data(const gguf::File& file) {
  using gguf::File;
  TokenizerData data;
  auto model = file.get_string("tokenizer.ggml.model");
  if (!model) return tl::unexpected(model.error());
  data.model = std::move(*model);
  auto tokens = strings_of(file, "tokenizer.ggml.tokens");
  if (!tokens) return tl::unexpected(tokens.error());
  data.tokens = *tokens;
  data.name = file.get_string("general.name").value_or("");
  if (data.model == "gpt2" || data.model == "gemma4") {
    auto merges = strings_of(file, "tokenizer.ggml.merges");
    if (!merges) return tl::unexpected(merges.error());
    data.merges = *merges;
  }
  for (const Result<void>& read : {
           read_optional(file, "tokenizer.ggml.pre", &File::get_string, data.pre),
           read_optional(file, "tokenizer.ggml.scores", &File::get_floats, data.scores),
           read_optional(file, "tokenizer.ggml.token_type", &File::get_ints, data.types),
           read_optional(file, "tokenizer.ggml.bos_token_id", &File::get_uint, data.bos_id),
           read_optional(file, "tokenizer.ggml.eos_token_id", &File::get_uint, data.eos_id),
           read_optional(file, "tokenizer.ggml.unknown_token_id", &File::get_uint, data.unknown_id),
           read_optional(file, "tokenizer.ggml.eot_token_id", &File::get_uint, data.eot_id),
           read_optional(file, "tokenizer.ggml.eom_token_id", &File::get_uint, data.eom_id),
           read_optional(file, "tokenizer.ggml.seperator_token_id", &File::get_uint, data.separator_id),
           read_optional(file, "tokenizer.ggml.cls_token_id", &File::get_uint, data.class_id),
           read_optional(file, "tokenizer.ggml.add_bos_token", &File::get_bool, data.add_bos),
           read_optional(file, "tokenizer.ggml.add_eos_token", &File::get_bool, data.add_eos),
           read_optional(file, "tokenizer.ggml.add_sep_token", &File::get_bool, data.add_separator),
           read_optional(file, "tokenizer.ggml.add_space_prefix", &File::get_bool, data.add_space_prefix),
           read_optional(file, "tokenizer.ggml.remove_extra_whitespaces", &File::get_bool,
                         data.remove_extra_whitespaces),
           read_optional(file, "tokenizer.ggml.precompiled_charsmap", &File::get_ints, data.character_map),
           read_optional(file, "tokenizer.ggml.normalizer.lowercase", &File::get_bool, data.lower_case),
           read_optional(file, "tokenizer.ggml.normalizer.strip_accents", &File::get_bool,
                         data.strip_accents),
       }) {
    if (!read) return tl::unexpected(read.error());
  }
  return data;
}

Result<std::unique_ptr<Tokenizer>> Tokenizer::from_gguf(const gguf::File& file) {
  const auto data = read_tokenizer_data(file);
  if (!data) return tl::unexpected(data.error());
  return make_tokenizer(*data);
}

}  // namespace lazyfill
