#include "cli/bench_text.h"

#include <array>
#include <cctype>
#include <cstdint>
#include <string_view>

namespace lazyfill::cli {
namespace {

constexpr std::array<std::string_view, 64> kWords = {
    "river",    "mountain", "carried",  "letter",   "morning", "between", "the",     "old",
    "station",  "window",   "people",   "under",    "quiet",   "harbour", "counted", "seven",
    "lanterns", "before",   "winter",   "and",      "found",   "a",       "small",   "garden",
    "where",    "children", "played",   "with",     "stones",  "every",   "summer",  "of",
    "that",     "year",     "merchant", "from",     "north",   "brought", "silver",  "cloth",
    "to",       "market",   "while",    "rain",     "fell",    "over",    "roofs",   "in",
    "long",     "streets",  "nobody",   "asked",    "why",     "bridge",  "had",     "been",
    "closed",   "since",    "spring",   "although", "its",     "keeper",  "wrote",   "down"};

}  // namespace

std::string bench_text(size_t n_tokens) {
  constexpr size_t kSentenceWords = 11;
  std::string text;
  uint64_t state = 0x9E3779B97F4A7C15;
  for (size_t i = 0; i <= n_tokens; ++i) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    std::string word(kWords[(state >> 33) % kWords.size()]);
    if (i % kSentenceWords == 0)
      word[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(word[0])));
    if (i > 0) text += i % kSentenceWords == 0 ? ". " : " ";
    text += word;
  }
  return text + ".";
}

}  // namespace lazyfill::cli
