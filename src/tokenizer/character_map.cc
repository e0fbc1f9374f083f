#include "tokenizer/character_map.h"

#include <algorithm>

namespace lazyfill {
namespace {

// Far above what models hold (33 bytes): a file of a stranger must not make a page of every character, nor
// walk in circles through the whole text at each.
constexpr size_t kMaxRuleBytes = 256;

// The bits of a unit of darts-clone.
bool has_leaf(uint32_t unit) {
  return ((unit >> 8) & 1U) != 0;
}
uint32_t label_of(uint32_t unit) {
  return unit & ((1U << 31) | 0xFFU);  // a leaf never equals a byte
}
uint32_t offset_of(uint32_t unit) {
  return (unit >> 10) << ((unit & (1U << 9)) >> 6);
}
uint32_t value_of(uint32_t unit) {
  return unit & ((1U << 31) - 1);
}

uint32_t little_endian(const std::byte* bytes) {
  uint32_t value = 0;
  for (int i = 3; i >= 0; --i) value = (value << 8) | std::to_integer<uint32_t>(bytes[i]);
  return value;
}

}  // namespace

Result<CharacterMap> CharacterMap::read(std::span<const std::byte> bytes) {
  CharacterMap map;
  if (bytes.empty()) return map;
  const size_t n_bytes = bytes.size() < 4 ? 0 : little_endian(bytes.data());
  if (n_bytes == 0 || n_bytes % 4 != 0 || n_bytes >= bytes.size() - 4) {
    return fail(
        ErrorCode::kInvalidFile,
        "tokenizer.ggml.precompiled_charsmap is not what it should be: its table does not fit into its " +
            std::to_string(bytes.size()) + " bytes");
  }
  map.units_.resize(n_bytes / 4);
  for (size_t i = 0; i < map.units_.size(); ++i) map.units_[i] = little_endian(bytes.data() + 4 + 4 * i);
  const auto rest = bytes.subspan(4 + n_bytes);
  map.replacements_.assign(reinterpret_cast<const char*>(rest.data()), rest.size());
  if (map.replacements_.back() != '\0') map.replacements_.push_back('\0');
  for (size_t begin = 0; begin < map.replacements_.size();) {
    const size_t end = map.replacements_.find('\0', begin);
    if (end - begin > kMaxRuleBytes) {
      return fail(ErrorCode::kInvalidFile, "tokenizer.ggml.precompiled_charsmap has a replacement of " +
                                               std::to_string(end - begin) + " bytes; at most " +
                                               std::to_string(kMaxRuleBytes) + " make sense");
    }
    begin = end + 1;
  }
  return map;
}

CharacterMap::Match CharacterMap::longest(std::string_view text) const {
  Match match;
  if (units_.empty()) return match;
  size_t position = offset_of(units_[0]);
  for (size_t i = 0; i < std::min(text.size(), kMaxRuleBytes); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    position ^= byte;
    if (position >= units_.size() || label_of(units_[position]) != byte) break;
    const uint32_t unit = units_[position];
    position ^= offset_of(unit);
    if (!has_leaf(unit)) continue;
    if (position >= units_.size()) break;
    const uint32_t value = value_of(units_[position]);
    if (value >= replacements_.size()) break;
    match.n_bytes = i + 1;
    match.replacement = std::string_view(replacements_.data() + value);
  }
  return match;
}

}  // namespace lazyfill
