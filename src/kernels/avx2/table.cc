#include "kernels/attention_floats.h"
#include "kernels/avx2/matmul.h"
#include "kernels/avx2/simd.h"
#include "kernels/simd_table.h"
#include "kernels/tables.h"

namespace lazyfill::avx2 {

const Kernels& table() {
  static const Kernels kTable = [] {
    Kernels table = simd_table<Simd, tiles::FloatProducts<Simd>>("avx2");
    table.pack_rows = pack_rows;
    table.matmul = matmul;
    return table;
  }();
  return kTable;
}

}  // namespace lazyfill::avx2
