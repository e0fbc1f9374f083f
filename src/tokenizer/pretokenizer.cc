#include "tokenizer/pretokenizer.h"

#include <array>
#include <utility>

#include "tokenizer/utf8.h"

namespace lazyfill {
namespace {

constexpr std::array<std::pair<std::string_view, PreTokenizer>, 11> kNames{{
    {"gpt-2", PreTokenizer::kGpt2},
    {"mpt", PreTokenizer::kGpt2},
    {"olmo", PreTokenizer::kGpt2},
    {"phi-2", PreTokenizer::kGpt2},
    {"smollm", PreTokenizer::kDigitsGpt2},
    {"starcoder", PreTokenizer::kDigitsGpt2},
    {"refact", PreTokenizer::kDigitsGpt2},
    {"command-r", PreTokenizer::kDigitsGpt2},
    {"codeshell", PreTokenizer::kDigitsGpt2},
    {"llama-bpe", PreTokenizer::kLlama3},
    {"qwen2", PreTokenizer::kQwen2},
}};

enum class Class { kEnd, kLetter, kNumber, kSpace, kOther };

struct Char {
  Class type = Class::kEnd;
  char32_t code_point = 0;
  size_t n_bytes = 0;

  bool is_newline() const { return code_point == '\n' || code_point == '\r'; }
};

Class class_of(char32_t c) {
  if (utf8::is_letter(c)) return Class::kLetter;
  if (utf8::is_number(c)) return Class::kNumber;
  return utf8::is_space(c) ? Class::kSpace : Class::kOther;
}

// Reads classes of characters at byte positions of one text.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  Char at(size_t position) const {
    if (position >= text_.size()) return {};
    const utf8::Decoded decoded = utf8::decode(text_, position);
    return {class_of(decoded.code_point), decoded.code_point, decoded.n_bytes};
  }
  size_t end_of_run(size_t position, Class type) const {
    for (Char c = at(position); c.type == type; c = at(position)) position += c.n_bytes;
    return position;
  }
  // The end of a whitespace run at `position`, less its last character where another word follows and takes
  // it.
  size_t end_of_space(size_t position) const {
    size_t last = position;
    size_t end = position;
    for (Char c = at(end); c.type == Class::kSpace; c = at(end)) {
      last = end;
      end += c.n_bytes;
    }
    return end == text_.size() || last == position ? end : last;
  }
  // The end of a contraction that begins with the apostrophe at `position`; `position` itself where there is
  // none.
  size_t end_of_contraction(size_t position, bool ignore_case) const {
    const Char first = at(position + 1);
    const char32_t a = folded(first, ignore_case);
    if (a == 's' || a == 't' || a == 'm' || a == 'd') return position + 1 + first.n_bytes;
    const Char second = at(position + 1 + first.n_bytes);
    const char32_t b = folded(second, ignore_case);
    const bool found = (a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l');
    return found ? position + 1 + first.n_bytes + second.n_bytes : position;
  }

 private:
  static char32_t folded(const Char& c, bool ignore_case) {
    if (!ignore_case) return c.code_point;
    if (c.code_point == 0x17F) return 's';  // the long s folds to s
    return c.code_point >= 'A' && c.code_point <= 'Z' ? c.code_point + 0x20 : c.code_point;
  }

  std::string_view text_;
};

// The end of the word that starts at `position`, as the GPT-2 expression matches.
size_t end_of_gpt2_word(const Scanner& scanner, size_t position) {
  const Char c = scanner.at(position);
  if (c.code_point == '\'') {
    const size_t end = scanner.end_of_contraction(position, false);
    if (end != position) return end;
  }
  if (c.code_point == ' ') {
    const Char next = scanner.at(position + 1);
    if (next.type != Class::kSpace && next.type != Class::kEnd)
      return scanner.end_of_run(position + 1, next.type);
  }
  return c.type == Class::kSpace ? scanner.end_of_space(position) : scanner.end_of_run(position, c.type);
}

// \s*[\r\n]+|\s+(?!\S)|\s+
size_t end_of_llama3_space(const Scanner& scanner, size_t position) {
  size_t after_newline = position;
  size_t end = position;
  for (Char c = scanner.at(end); c.type == Class::kSpace; c = scanner.at(end)) {
    end += c.n_bytes;
    if (c.is_newline()) after_newline = end;
  }
  return after_newline != position ? after_newline : scanner.end_of_space(position);
}

size_t end_of_llama3_word(const Scanner& scanner, size_t position, size_t max_digits) {
  const Char c = scanner.at(position);
  if (c.code_point == '\'') {
    const size_t end = scanner.end_of_contraction(position, true);
    if (end != position) return end;
  }
  if (c.type == Class::kLetter) return scanner.end_of_run(position, Class::kLetter);
  if (c.type == Class::kNumber) {
    size_t end = position;
    for (size_t n = 0; n < max_digits && scanner.at(end).type == Class::kNumber; ++n)
      end += scanner.at(end).n_bytes;
    return end;
  }
  const Char next = scanner.at(position + c.n_bytes);
  if (!c.is_newline() && next.type == Class::kLetter) {
    return scanner.end_of_run(position + c.n_bytes, Class::kLetter);
  }
  if (c.type == Class::kOther || (c.code_point == ' ' && next.type == Class::kOther)) {
    size_t end = scanner.end_of_run(c.type == Class::kOther ? position : position + 1, Class::kOther);
    while (scanner.at(end).is_newline()) ++end;
    return end;
  }
  return end_of_llama3_space(scanner, position);
}

void split_gpt2(std::string_view text, std::vector<std::string_view>& words) {
  const Scanner scanner(text);
  for (size_t position = 0; position < text.size();) {
    const size_t end = end_of_gpt2_word(scanner, position);
    words.push_back(text.substr(position, end - position));
    position = end;
  }
}

void split_digits_gpt2(std::string_view text, std::vector<std::string_view>& words) {
  const Scanner scanner(text);
  size_t begin = 0;  // of what lies between two numbers
  for (size_t position = 0; position < text.size();) {
    const Char c = scanner.at(position);
    if (c.type == Class::kNumber) {
      split_gpt2(text.substr(begin, position - begin), words);
      words.push_back(text.substr(position, c.n_bytes));
      begin = position + c.n_bytes;
    }
    position += c.n_bytes;
  }
  split_gpt2(text.substr(begin), words);
}

void split_llama3(std::string_view text, size_t max_digits, std::vector<std::string_view>& words) {
  const Scanner scanner(text);
  for (size_t position = 0; position < text.size();) {
    const size_t end = end_of_llama3_word(scanner, position, max_digits);
    words.push_back(text.substr(position, end - position));
    position = end;
  }
}

}  // namespace

std::optional<PreTokenizer> find_pretokenizer(std::string_view name) {
  for (const auto& [known, kind] : kNames) {
    if (known == name) return kind;
  }
  return std::nullopt;
}

std::string pretokenizer_names() {
  std::string names;
  for (const auto& entry : kNames) names.append(names.empty() ? "" : ", ").append(entry.first);
  return names;
}

void split_words(PreTokenizer kind, std::string_view text, std::vector<std::string_view>& words) {
  switch (kind) {
    case PreTokenizer::kGpt2:
      return split_gpt2(text, words);
    case PreTokenizer::kDigitsGpt2:
      return split_digits_gpt2(text, words);
    case PreTokenizer::kLlama3:
      return split_llama3(text, 3, words);
    case PreTokenizer::kQwen2:
      return split_llama3(text, 1, words);
  }
}

}  // namespace lazyfill
