#include "tokenizer/pretokenizer.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>

#include "tokenizer/pretokenizer_table.h"
#include "tokenizer/utf8.h"

namespace lazyfill {
namespace {

// What the Unicode standard calls white space, inside a class. PCRE2's own \s counts U+180E as well.
constexpr std::string_view kSpaceSet =
    R"(\t-\r \x{85}\x{A0}\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000})";
constexpr uint32_t kMaxHeapKib = 64 * 1024;

struct FreeMatch {
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
  void operator()(pcre2_match_context* context) const { pcre2_match_context_free(context); }
};

// The expression with \s and \S spelled out.
std::string with_spaces(std::string_view expression) {
  std::string out;
  bool in_class = false;
  for (size_t i = 0; i < expression.size(); ++i) {
    const char c = expression[i];
    if (c != '\\') {
      in_class = c == '[' || (in_class && c != ']');
      out += c;
      continue;
    }
    const char next = expression[++i];
    if (next == 's' && in_class) {
      out += kSpaceSet;
    } else if (next == 's' || next == 'S') {
      out.append(next == 's' ? "[" : "[^").append(kSpaceSet).append("]");
    } else {
      out.append({c, next});
    }
  }
  return out;
}

template <class Visit>
void for_each_name(const PreTokenizerSpec& spec, Visit visit) {
  for (std::string_view rest = spec.names; !rest.empty();) {
    const size_t end = std::min(rest.find(' '), rest.size());
    visit(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
}

const PreTokenizerSpec* find_spec(std::string_view name) {
  for (const PreTokenizerSpec& spec : kPreTokenizers) {
    bool found = false;
    for_each_name(spec, [&](std::string_view known) { found = found || known == name; });
    if (found) return &spec;
  }
  return nullptr;
}

// Runs one expression over pieces; what makes a run costly is made once.
class Matcher {
 public:
  Matcher() : data_(pcre2_match_data_create(1, nullptr)), context_(pcre2_match_context_create(nullptr)) {
    if (context_) pcre2_set_heap_limit(context_.get(), kMaxHeapKib);
  }
  bool ready() const { return data_ != nullptr && context_ != nullptr; }

  // Cuts `piece` at every match: the matches and what lies between them become words. False: out of limits.
  bool cut(const pcre2_code* code, std::string_view piece, std::vector<std::string_view>& words) const {
    const auto* subject = reinterpret_cast<PCRE2_SPTR>(piece.data());
    size_t begin = 0;  // of what is not yet a word
    for (size_t from = 0; from < piece.size();) {
      const int found = pcre2_match(code, subject, piece.size(), from, PCRE2_NO_UTF_CHECK | PCRE2_NOTEMPTY,
                                    data_.get(), context_.get());
      if (found == PCRE2_ERROR_NOMATCH) break;
      if (found < 0) return false;
      const PCRE2_SIZE* bounds = pcre2_get_ovector_pointer(data_.get());
      if (bounds[0] > begin) words.push_back(piece.substr(begin, bounds[0] - begin));
      words.push_back(piece.substr(bounds[0], bounds[1] - bounds[0]));
      begin = from = bounds[1];
    }
    if (begin < piece.size()) words.push_back(piece.substr(begin));
    return true;
  }

 private:
  std::unique_ptr<pcre2_match_data, FreeMatch> data_;
  std::unique_ptr<pcre2_match_context, FreeMatch> context_;
};

}  // namespace

void PreTokenizer::FreeCode::operator()(pcre2_code* code) const {
  pcre2_code_free(code);
}

Result<PreTokenizer::Code> PreTokenizer::compile(std::string_view expression) {
  const std::string source = with_spaces(expression);
  int error = 0;
  PCRE2_SIZE offset = 0;
  Code code(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(source.data()), source.size(), PCRE2_UTF | PCRE2_UCP,
                          &error, &offset, nullptr));
  if (!code) {
    return fail(ErrorCode::kUnsupported, "an expression of a pre-tokeniser does not compile at character " +
                                             std::to_string(offset) + " (PCRE2 error " +
                                             std::to_string(error) + "); please report it");
  }
  // Where the system forbids making machine code, the interpreter does the same more slowly.
  (void)pcre2_jit_compile(code.get(), PCRE2_JIT_COMPLETE);
  return code;
}

Result<PreTokenizer> PreTokenizer::make(std::string_view name) {
  const PreTokenizerSpec* spec = find_spec(name);
  if (spec == nullptr) {
    std::string known;
    for (const std::string_view other : pretokenizer_names())
      known.append(known.empty() ? "" : ", ").append(other);
    return fail(ErrorCode::kUnsupported, "the pre-tokeniser \"" + utf8::printable(name) +
                                             "\" (tokenizer.ggml.pre) is not supported; supported: " + known);
  }
  PreTokenizer made;
  made.habits_ = spec->habits;
  made.name_ = name;
  for (const PreTokenizerStep& step : spec->steps) {
    if (step.groups != DigitGroups::kNone) {
      made.steps_.push_back({nullptr, step.groups});
    } else if (!step.expression.empty()) {
      auto code = compile(step.expression);
      if (!code) return tl::unexpected(code.error());
      made.steps_.push_back({std::move(*code)});
    }
  }
  return made;
}

Result<void> PreTokenizer::split(std::string_view text, std::vector<std::string_view>& words) const {
  if (steps_.empty()) {
    words.push_back(text);
    return {};
  }
  const Matcher matcher;
  if (!matcher.ready())
    return fail(ErrorCode::kOutOfMemory, "there is no memory to split the text into words");
  std::vector<std::string_view> pieces{text};
  std::vector<std::string_view> cut;
  for (size_t i = 0; i < steps_.size(); ++i) {
    std::vector<std::string_view>& target = i + 1 == steps_.size() ? words : cut;
    if (&target == &cut) cut.clear();
    for (const std::string_view piece : pieces) {
      if (steps_[i].groups != DigitGroups::kNone) {
        group_digits(steps_[i].groups, piece, target);
      } else if (!matcher.cut(steps_[i].code.get(), piece, target)) {
        return fail(ErrorCode::kOutOfMemory,
                    "the text could not be split into words within the limits of memory");
      }
    }
    std::swap(pieces, cut);
  }
  return {};
}

void group_digits(DigitGroups groups, std::string_view text, std::vector<std::string_view>& words) {
  size_t begin = 0;  // of what is not yet a word
  const auto cut_at = [&](size_t position) {
    if (position > begin) words.push_back(text.substr(begin, position - begin));
    begin = position;
  };
  std::vector<size_t> digits;  // where those of one number begin, and its end
  for (size_t position = 0; position < text.size();) {
    utf8::Decoded c = utf8::decode(text, position);
    const auto counts = [&] {
      return groups == DigitGroups::kNumbers ? utf8::is_number(c.code_point) : utf8::is_digit(c.code_point);
    };
    if (!counts()) {
      position += c.n_bytes;
      continue;
    }
    digits.clear();
    while (position < text.size() && counts()) {
      digits.push_back(position);
      position += c.n_bytes;
      if (position < text.size()) c = utf8::decode(text, position);
    }
    const size_t n_digits = digits.size();
    digits.push_back(position);
    const bool is_bounded = position == text.size() || !utf8::is_word_character(c.code_point);
    if (groups == DigitGroups::kBounded && !is_bounded) continue;
    if (groups != DigitGroups::kCuts) cut_at(digits.front());
    for (size_t i = n_digits % 3; i < n_digits; i += 3) cut_at(digits[i]);
    if (groups != DigitGroups::kCuts) cut_at(position);
  }
  cut_at(text.size());
}

std::vector<std::string_view> pretokenizer_names() {
  std::vector<std::string_view> names;
  for (const PreTokenizerSpec& spec : kPreTokenizers) {
    for_each_name(spec, [&](std::string_view name) { names.push_back(name); });
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace lazyfill
