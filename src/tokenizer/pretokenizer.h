// Cuts text into the words inside which byte-level BPE merges. Written by hand over Unicode categories: the
// regular expressions that define these splitters recurse per character in std::regex.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace lazyfill {

enum class PreTokenizer {
  kGpt2,        // 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
  kDigitsGpt2,  // every \p{N} is a word of its own, then kGpt2 on what lies between
  kLlama3,      // (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|
                //  ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
  kQwen2,       // as kLlama3, but digits one by one
};

// The splitter of a value of tokenizer.ggml.pre; empty for names this build does not know.
std::optional<PreTokenizer> find_pretokenizer(std::string_view name);
// "gpt-2, smollm, ...", for messages.
std::string pretokenizer_names();

// Appends the words of valid UTF-8 text; together they are the text. Linear in its length.
void split_words(PreTokenizer kind, std::string_view text, std::vector<std::string_view>& words);

}  // namespace lazyfill
