#include "kernels/avx2/matmul.h"
#include "kernels/panels.h"
#include "kernels/tables.h"

namespace lazyfill::avx2 {

const Kernels& table() {
  // What has no version of its own yet is the reference's.
  static const Kernels kTable = [] {
    Kernels table = reference::table();
    table.isa = Isa::kAvx2;
    table.name = "avx2";
    table.begin_pack = panels::begin_pack;
    table.pack_outputs = panels::pack_outputs;
    table.pack_granularity = panels::kGranularity;
    table.pack_rows = pack_rows;
    table.matmul = matmul;
    return table;
  }();
  return kTable;
}

}  // namespace lazyfill::avx2
