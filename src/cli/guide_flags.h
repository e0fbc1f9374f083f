// The flags that say what an answer must look like.
#pragma once

#include <string>
#include <vector>

#include "cli/flags.h"
#include "cli/options.h"
#include "lazyfill/error.h"
#include "lazyfill/types.h"

namespace lazyfill::cli {

struct GuideFlags {
  void add_to(Flags& flags);
  bool given() const { return n_kinds() > 0; }
  // What these flags cannot mean together, as a sentence; empty: nothing.
  std::string contradiction() const;
  // Reads the file of a schema or a grammar. Errors: it cannot be read.
  Result<GuideOptions> resolve() const;

 private:
  size_t n_kinds() const;

  std::string regex_;
  std::vector<std::string> choices_;
  std::string schema_file_;
  std::string grammar_file_;
  size_t form_ = 0;
};

}  // namespace lazyfill::cli
