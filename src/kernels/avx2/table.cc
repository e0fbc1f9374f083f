#include "kernels/tables.h"

namespace lazyfill::avx2 {

const Kernels& table() {
  // What has no version of its own yet is the reference's.
  static const Kernels kTable = [] {
    Kernels table = reference::table();
    table.isa = Isa::kAvx2;
    table.name = "avx2";
    return table;
  }();
  return kTable;
}

}  // namespace lazyfill::avx2
