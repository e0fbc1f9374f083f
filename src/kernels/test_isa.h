// What tests of all instruction sets share.
#pragma once

#include <string>
#include <vector>

#include "kernels/kernels.h"

namespace lazyfill {

inline std::vector<std::string> isa_names() {
  std::vector<std::string> names;
  for (const InstructionSet& set : instruction_sets()) names.emplace_back(set.name);
  return names;
}

// Attention that is not in integers is then in bf16.
inline bool rounds_to_bf16(const Kernels& kernels) {
  return kernels.name == "avx512" || kernels.name == "amx";
}

}  // namespace lazyfill
