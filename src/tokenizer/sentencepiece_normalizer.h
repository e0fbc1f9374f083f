// What SentencePiece does to a text before it looks for pieces: the model's character map, superfluous
// spaces, U+2581 for every space.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "tokenizer/character_map.h"

namespace lazyfill {

// U+2581. An array of its own, because a view of a literal may have another literal's address in every file
// that includes this, and a compiler may then take begin() from one and end() from another.
inline constexpr char kSpaceMarkBytes[] = "\xE2\x96\x81";
inline constexpr std::string_view kSpaceMark = kSpaceMarkBytes;

std::string replace_all(std::string_view text, std::string_view from, std::string_view to);
// The byte that a token such as "<0x0A>" stands for.
std::optional<unsigned char> byte_of_token(std::string_view token);

class SentencePieceNormalizer {
 public:
  struct Options {
    bool add_space_prefix = true;
    bool remove_extra_whitespaces = false;  // at the beginning, at the end, and all but one of a run
  };

  SentencePieceNormalizer() = default;
  SentencePieceNormalizer(CharacterMap map, Options options) : map_(std::move(map)), options_(options) {}

  // A text of nothing but spaces may become empty. space_prefix: where the options ask for it.
  std::string normalize(std::string_view text, bool space_prefix = true) const;
  // A space becomes its mark, and everything else stays what it is.
  bool only_marks_spaces() const { return map_.empty() && !options_.remove_extra_whitespaces; }
  const Options& options() const { return options_; }

 private:
  struct Piece {
    std::string_view text;
    size_t n_bytes = 0;  // of the text that it stands for
  };
  Piece first_piece(std::string_view text) const;

  CharacterMap map_;
  Options options_;
};

}  // namespace lazyfill
