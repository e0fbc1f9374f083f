// Cuts text into the words inside which byte-level BPE merges, by the regular expressions that published
// models name. PCRE2 runs them: std::regex recurses once per character and knows no Unicode.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "lazyfill/error.h"

struct pcre2_real_code_8;

namespace lazyfill {

class PreTokenizer {
 public:
  // What goes with the expressions of a name in the tokenisers that bear it.
  struct Habits {
    bool composes = false;  // text is brought into normalisation form C first
    bool takes_whole_words =
        false;              // a word that is a token stays whole, whatever its merges would make of it
    bool adds_bos = false;  // where the file does not say
  };

  // The splitter of a value of tokenizer.ggml.pre; an unknown name is answered with those that are known.
  static Result<PreTokenizer> make(std::string_view name);

  // Appends the words of valid UTF-8 text; together they are the text. Linear in its length.
  Result<void> split(std::string_view text, std::vector<std::string_view>& words) const;
  const Habits& habits() const { return habits_; }

 private:
  struct FreeCode {
    void operator()(pcre2_real_code_8* code) const;
  };
  using Code = std::unique_ptr<pcre2_real_code_8, FreeCode>;

  static Result<Code> compile(std::string_view expression);

  std::vector<Code> steps_;  // each cuts what the steps before left whole
  Habits habits_;
};

// "default, gpt-2, llama-bpe, ...", for messages and tests.
std::vector<std::string_view> pretokenizer_names();

}  // namespace lazyfill
