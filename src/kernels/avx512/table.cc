#include "kernels/avx512/matmul.h"
#include "kernels/panels.h"
#include "kernels/tables.h"

namespace lazyfill::avx512 {

const Kernels& table() {
  // What has no version of its own yet is the reference's.
  static const Kernels kTable = [] {
    Kernels table = reference::table();
    table.isa = Isa::kAvx512;
    table.name = "avx512";
    table.begin_pack = panels::begin_pack;
    table.pack_outputs = panels::pack_outputs;
    table.pack_granularity = panels::kGranularity;
    table.pack_rows = pack_rows;
    table.matmul = matmul;
    return table;
  }();
  return kTable;
}

}  // namespace lazyfill::avx512
