// Parses whatever text libFuzzer thinks of as a regular expression, a grammar and a JSON Schema, and walks
// what comes of it.
//   build/fuzz/bin/guide_fuzz -dict=fuzz/guide.dict -max_len=256 -max_total_time=60 CORPUS fuzz/corpus/guide
#include <memory>
#include <string_view>

#include "decoding/gbnf.h"
#include "decoding/json_schema.h"
#include "decoding/regex.h"

namespace {

constexpr lazyfill::TermLimits kLimits{.max_terms = 20'000};

void check_error(const lazyfill::Error& error) {
  if (error.message.empty() || error.message.size() > 2000) __builtin_trap();
}

// A text that is said to match does, and no step leads to nothing.
void check_term(lazyfill::Terms& terms, lazyfill::Term term) {
  terms.close();
  terms.limit_growth(500, 100, 20'000);
  for (const std::string& text : terms.matches(term, 3, 200)) {
    const bool fits = terms.nullable(terms.after(term, text));
    if (!fits && !terms.overflowed()) __builtin_trap();
    if (terms.bound(term) > text.size()) __builtin_trap();
  }
  for (const lazyfill::TermStep& step : terms.row(term)) {
    if (step.target == lazyfill::kNothing || step.first > step.last) __builtin_trap();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (const auto match : {lazyfill::RegexMatch::kWhole, lazyfill::RegexMatch::kSearch}) {
    lazyfill::Terms terms(kLimits);
    const auto term = lazyfill::parse_regex(terms, text, match);
    if (term) {
      check_term(terms, *term);
    } else {
      check_error(term.error());
    }
  }
  if (text.find("::=") != std::string_view::npos) {
    lazyfill::Terms terms(kLimits);
    const auto grammar = lazyfill::parse_gbnf(terms, text);
    if (grammar) {
      check_term(terms, grammar->start);
    } else {
      check_error(grammar.error());
    }
  }
  if (text.starts_with('{')) {
    lazyfill::Terms terms(kLimits);
    const auto schema = lazyfill::parse_json_schema(terms, text);
    if (schema) {
      check_term(terms, schema->start);
    } else {
      check_error(schema.error());
    }
  }
  return 0;
}
