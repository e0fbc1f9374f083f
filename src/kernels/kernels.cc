#include "kernels/kernels.h"

#include <string>

#include "base/quoted.h"
#include "kernels/tables.h"

#if defined(LAZYFILL_X86)
#include <cpuid.h>
#endif

namespace lazyfill {
namespace {

// What the table's files are compiled with: all of it, or none of the table. GCC's and Clang's look-up asks
// the operating system too (xgetbv), so registers that a context switch would lose do not count as there.
#if defined(LAZYFILL_X86)
bool has_f16c() {  // by hand: Clang's look-up knows no "f16c"
  unsigned eax = 0;
  unsigned ebx = 0;
  unsigned ecx = 0;
  unsigned edx = 0;
  return __get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0 && (ecx & bit_F16C) != 0;
}

std::string missing(bool present, const char* instructions) {
  return present ? "" : std::string("its processor or system is without ") + instructions;
}

std::string avx2_obstacle() {
  return missing(__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c(),
                 "AVX2, FMA or F16C");
}

std::string avx512_obstacle() {
  if (std::string obstacle = avx2_obstacle(); !obstacle.empty()) return obstacle;
  return missing(__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                     __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                     __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bf16"),
                 "AVX-512 F, BW, DQ, VL, VNNI or BF16");
}
#endif

#if defined(LAZYFILL_AMX)
std::string amx_obstacle() {
  if (std::string obstacle = avx512_obstacle(); !obstacle.empty()) return obstacle;
  return amx::obstacle();
}
#endif

std::string no_obstacle() {
  return "";
}

// The one list of instruction sets, the best last.
constexpr InstructionSet kInstructionSets[] = {
    {"reference", no_obstacle, reference::table},
#if defined(LAZYFILL_X86)
    {"avx2", avx2_obstacle, avx2::table},
    {"avx512", avx512_obstacle, avx512::table},
#endif
#if defined(LAZYFILL_AMX)
    {"amx", amx_obstacle, amx::table},
#endif
};

const InstructionSet* find(std::string_view name) {
  for (const InstructionSet& set : kInstructionSets) {
    if (set.name == name) return &set;
  }
  return nullptr;
}

std::string names() {
  std::string list;
  for (const InstructionSet& set : kInstructionSets) {
    if (!list.empty()) list += ", ";
    list += set.name;
  }
  return list;
}

}  // namespace

std::span<const InstructionSet> instruction_sets() {
  return kInstructionSets;
}

bool machine_supports(std::string_view name) {
  const InstructionSet* set = find(name);
  return set != nullptr && set->obstacle().empty();
}

Result<const Kernels*> kernels_for(std::string_view name) {
  if (name.empty()) {
    const Kernels* best = nullptr;
    for (const InstructionSet& set : kInstructionSets) {
      if (set.obstacle().empty()) best = &set.table();
    }
    return best;  // the first has no obstacle
  }
  const InstructionSet* set = find(name);
  if (set == nullptr) {
    return fail(ErrorCode::kInvalidArgument, "no kernels for an instruction set " + quoted(name) +
                                                 "; there are " + names() +
                                                 ", and with none named the best of this machine");
  }
  if (const std::string obstacle = set->obstacle(); !obstacle.empty()) {
    return fail(ErrorCode::kUnsupported, "this machine lacks the instruction set " + std::string(name) +
                                             ": " + obstacle + "; name none to take the best that it has");
  }
  return &set->table();
}

}  // namespace lazyfill
