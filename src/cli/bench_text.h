// A text to measure with when the user gives none.
#pragma once

#include <cstddef>
#include <string>

namespace lazyfill::cli {

// Sentences of common English words, the same in every run, of more than n_tokens tokens: every word costs a
// tokeniser one token at least.
std::string bench_text(size_t n_tokens);

}  // namespace lazyfill::cli
