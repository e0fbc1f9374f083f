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

// Groups of three digits counted from the right. Models state them as expressions that look ahead to the end
// of a number at each of its digits, which costs the square of its length; here they are counted.
enum class DigitGroups {
  kNone,
  kCuts,     // (?=(\d{3})+(?!\d)): a cut before every whole group of three
  kNumbers,  // \p{N}{1,3}(?=(\p{N}{3})*(?!\p{N})): the groups are words
  kBounded,  // \d{1,3}(?=(\d{3})*\b): the same, where no letter follows the number
};

// Appends the words of one such step.
void group_digits(DigitGroups groups, std::string_view text, std::vector<std::string_view>& words);

class PreTokenizer {
 public:
  // What goes with the expressions of a name in the tokenisers that bear it.
  struct Habits {
    bool composes = false;  // text is brought into normalisation form C first
    bool takes_whole_words =
        false;              // a word that is a token stays whole, whatever its merges would make of it
    bool adds_bos = false;  // where the file does not say
    bool is_plain = false;  // tokens are text, not bytes in the GPT-2 alphabet, and spaces are U+2581
  };

  // The splitter of a value of tokenizer.ggml.pre; an unknown name is answered with those that are known.
  static Result<PreTokenizer> make(std::string_view name);

  // Appends the words of valid UTF-8 text; together they are the text. Linear in its length.
  Result<void> split(std::string_view text, std::vector<std::string_view>& words) const;
  const Habits& habits() const { return habits_; }
  std::string_view name() const { return name_; }

 private:
  struct FreeCode {
    void operator()(pcre2_real_code_8* code) const;
  };
  using Code = std::unique_ptr<pcre2_real_code_8, FreeCode>;

  static Result<Code> compile(std::string_view expression);

  struct Step {
    Code code;  // null: the step groups digits
    DigitGroups groups = DigitGroups::kNone;
  };
  std::string name_;
  std::vector<Step> steps_;  // each cuts what the steps before left whole
  Habits habits_;
};

// "default, gpt-2, llama-bpe, ...", for messages and tests.
std::vector<std::string_view> pretokenizer_names();

}  // namespace lazyfill
