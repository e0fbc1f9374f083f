#include "kernels/kernels.h"

#include <cstdlib>
#include <string>

#include "kernels/tables.h"

#if defined(LAZYFILL_X86)
#include <cpuid.h>
#endif

namespace lazyfill {
namespace {

std::string_view name_of(Isa isa) {
  switch (isa) {
    case Isa::kReference:
      return "reference";
    case Isa::kAvx2:
      return "avx2";
    case Isa::kAvx512:
      return "avx512";
  }
  return "unknown";
}

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

bool has_avx2() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c();
}

bool has_avx512() {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bf16");
}
#else
bool has_avx2() {
  return false;
}
bool has_avx512() {
  return false;
}
#endif

}  // namespace

bool machine_supports(Isa isa) {
  switch (isa) {
    case Isa::kReference:
      return true;
    case Isa::kAvx2:
      return has_avx2();
    case Isa::kAvx512:
      return has_avx512();
  }
  return false;
}

Result<const Kernels*> kernels_for(Isa isa) {
  if (!machine_supports(isa)) {
    return fail(ErrorCode::kUnsupported, "This machine lacks the instruction set " +
                                             std::string(name_of(isa)) +
                                             "; unset LAZYFILL_ISA to let lazyfill choose.");
  }
#if defined(LAZYFILL_X86)
  if (isa == Isa::kAvx2) return &avx2::table();
  if (isa == Isa::kAvx512) return &avx512::table();
#endif
  return &reference::table();
}

Result<const Kernels*> best_kernels() {
  const char* wanted = std::getenv("LAZYFILL_ISA");
  if (wanted != nullptr && *wanted != '\0') {
    for (const Isa isa : {Isa::kReference, Isa::kAvx2, Isa::kAvx512}) {
      if (name_of(isa) == wanted) return kernels_for(isa);
    }
    return fail(ErrorCode::kInvalidArgument, "LAZYFILL_ISA must be reference, avx2 or avx512.");
  }
  for (const Isa isa : {Isa::kAvx512, Isa::kAvx2}) {
    if (machine_supports(isa)) return kernels_for(isa);
  }
  return kernels_for(Isa::kReference);
}

}  // namespace lazyfill
