#include "tokenizer/vocabulary_tokenizer.h"

#include <limits>

#include "tokenizer/utf8.h"

namespace lazyfill {

VocabularyTokenizer::VocabularyTokenizer(Vocabulary vocabulary, std::vector<TokenType> literal_types,
                                         bool add_bos, bool add_eos)
    : vocabulary_(std::move(vocabulary)),
      literals_(vocabulary_.of_types(literal_types)),
      add_bos_(add_bos && vocabulary_.bos_id() >= 0),
      add_eos_(add_eos && vocabulary_.eos_id() >= 0) {
  literal_types.push_back(TokenType::kControl);
  literal_types.push_back(TokenType::kUnknown);
  literals_and_specials_ = PrefixMatcher(vocabulary_.of_types(literal_types));
}

Result<std::vector<int32_t>> VocabularyTokenizer::encode(std::string_view text, EncodeOptions options) const {
  if (text.size() > static_cast<size_t>(std::numeric_limits<int32_t>::max())) {
    return fail(ErrorCode::kInvalidArgument, "the text is larger than 2 GiB: split it");
  }
  if (const auto offset = utf8::first_invalid(text)) {
    return fail(ErrorCode::kInvalidArgument, "the text is not valid UTF-8 at byte " +
                                                 std::to_string(*offset) + ": convert it to UTF-8 first");
  }
  std::vector<int32_t> ids;
  if (options.add_special && add_bos_) ids.push_back(bos_id());

  const PrefixMatcher& matcher = options.parse_special ? literals_and_specials_ : literals_;
  size_t begin = 0;  // of the text since the last special token
  for (size_t position = 0; position < text.size() && !matcher.empty();) {
    const PrefixMatcher::Match match = matcher.longest(text, position);
    if (match.id < 0) {
      ++position;
      continue;
    }
    if (position > begin) {
      auto encoded = encode_text(text.substr(begin, position - begin), ids);
      if (!encoded) return tl::unexpected(encoded.error());
    }
    ids.push_back(match.id);
    position += match.n_bytes;
    begin = position;
  }
  if (begin < text.size()) {
    auto encoded = encode_text(text.substr(begin), ids);
    if (!encoded) return tl::unexpected(encoded.error());
  }

  if (options.add_special && add_eos_) ids.push_back(eos_id());
  return ids;
}

std::string VocabularyTokenizer::decode(const std::vector<int32_t>& ids, bool with_special) const {
  std::string text;
  for (const int32_t id : ids) text += piece(id, with_special);
  return text;
}

}  // namespace lazyfill
