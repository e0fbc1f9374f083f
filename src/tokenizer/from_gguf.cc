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

// The id of a special token, where the vocabulary has it. Published files hold -1, 4294967295 and ids of
// longer vocabularies: what was meant is unknown, but everything else works.
std::optional<uint64_t> special_id(const gguf::File& file, std::string_view name, size_t n_tokens,
                                   std::vector<std::string>& warnings) {
  const std::string key = "tokenizer.ggml." + std::string(name) + "_token_id";
  if (file.find(key) == nullptr) return std::nullopt;
  const auto id = file.get_uint(key);
  if (id && *id < n_tokens) return *id;
  warnings.push_back("the file's " + key + (id ? " is " + std::to_string(*id) : std::string(" is no id")) +
                     ", but the vocabulary has " + std::to_string(n_tokens) + " tokens: it is left out");
  return std::nullopt;
}

void read_special_ids(const gguf::File& file, TokenizerData& data) {
  struct Id {
    std::string_view name;
    std::optional<uint64_t>* target;  // null: only checked
  };
  const Id ids[] = {
      {"bos", &data.bos_id},   {"eos", &data.eos_id}, {"unknown", &data.unknown_id},
      {"eot", &data.eot_id},   {"eom", &data.eom_id}, {"seperator", &data.separator_id},
      {"cls", &data.class_id}, {"padding", nullptr},  {"mask", nullptr},
  };
  for (const Id& id : ids) {
    const auto value = special_id(file, id.name, data.tokens.size(), data.warnings);
    if (id.target != nullptr) *id.target = value;
  }
  struct FimId {
    std::string_view name;
    int32_t* target;
  };
  FimTokens& fim = data.fim;
  // The names in front are those of older files.
  const FimId fim_ids[] = {{"prefix", &fim.prefix},   {"suffix", &fim.suffix},      {"middle", &fim.middle},
                           {"fim_pre", &fim.prefix},  {"fim_suf", &fim.suffix},     {"fim_mid", &fim.middle},
                           {"fim_pad", &fim.padding}, {"fim_rep", &fim.repository}, {"fim_sep", &fim.file}};
  for (const FimId& id : fim_ids) {
    if (const auto value = special_id(file, id.name, data.tokens.size(), data.warnings))
      *id.target = static_cast<int32_t>(*value);
  }
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
  read_special_ids(file, data);
  if (data.model == "gpt2" || data.model == "gemma4") {
    auto merges = strings_of(file, "tokenizer.ggml.merges");
    if (!merges) return tl::unexpected(merges.error());
    data.merges = *merges;
  }
  for (const Result<void>& read : {
           read_optional(file, "tokenizer.ggml.pre", &File::get_string, data.pre),
           read_optional(file, "tokenizer.ggml.scores", &File::get_floats, data.scores),
           read_optional(file, "tokenizer.ggml.token_type", &File::get_ints, data.types),
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
  auto tokenizer = make_tokenizer(*data);
  if (tokenizer) (*tokenizer)->warnings_ = data->warnings;
  return tokenizer;
}

}  // namespace lazyfill
