#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kernels/amx/matmul.h"
#include "kernels/tables.h"

namespace lazyfill::amx {
namespace {

// Of arch_prctl(2), for headers that are older than it.
constexpr int kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM
constexpr int kTileData = 18;               // the state component of tiles

bool processor_has_tiles() {
  unsigned eax = 0;
  unsigned ebx = 0;
  unsigned ecx = 0;
  unsigned edx = 0;
  constexpr unsigned kTiles = 1U << 24U;
  constexpr unsigned kInt8 = 1U << 25U;
  return __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) != 0 && (edx & kTiles) != 0 && (edx & kInt8) != 0;
}

// Asked for once; it holds for all threads of the process.
bool system_permits_tiles() {
  static const bool kPermitted = syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
  return kPermitted;
}

}  // namespace

std::string obstacle() {
  if (!processor_has_tiles()) return "its processor is without AMX tiles of bytes";
  if (!system_permits_tiles()) return "its system refuses the use of AMX tiles";
  return "";
}

const Kernels& table() {
  static const Kernels kTable = [] {
    Kernels table = avx512::table();
    table.name = "amx";
    table.block_rows = 256;
    table.pack_rows = pack_rows;
    table.matmul = matmul;
    return table;
  }();
  return kTable;
}

}  // namespace lazyfill::amx
