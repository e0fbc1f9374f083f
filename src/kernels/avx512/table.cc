#include "kernels/tables.h"

namespace lazyfill::avx512 {

const Kernels& table() {
  // What has no version of its own yet is the reference's.
  static const Kernels kTable = [] {
    Kernels table = reference::table();
    table.isa = Isa::kAvx512;
    table.name = "avx512";
    return table;
  }();
  return kTable;
}

}  // namespace lazyfill::avx512
