#include "kernels/avx512/bf16_products.h"
#include "kernels/avx512/matmul.h"
#include "kernels/avx512/simd.h"
#include "kernels/simd_table.h"
#include "kernels/tables.h"

namespace lazyfill::avx512 {

const Kernels& table() {
  static const Kernels kTable = [] {
    Kernels table = simd_table<Simd, Bf16Products>("avx512");
    table.pack_rows = pack_rows;
    table.matmul = matmul;
    return table;
  }();
  return kTable;
}

}  // namespace lazyfill::avx512
