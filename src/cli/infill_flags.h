// The flags of `run` that fill in the middle of a text.
#pragma once

#include <optional>
#include <string>

#include "cli/flags.h"
#include "conversation/infill.h"

namespace lazyfill::cli {

struct InfillFlags {
  std::string prefix_file;
  std::string suffix_file;

  void add_to(Flags& flags);
  bool given() const { return !prefix_file.empty() || !suffix_file.empty(); }
  bool is_constrained() const { return form_ == 1; }
  // Reads the files. Errors: one cannot be read.
  Result<std::optional<InfillRequest>> resolve() const;

 private:
  size_t form_ = 0;
};

}  // namespace lazyfill::cli
