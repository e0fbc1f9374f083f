#include "kernels/reference/attention.h"
#include "kernels/reference/elementwise.h"
#include "kernels/reference/matmul.h"
#include "kernels/tables.h"

namespace lazyfill::reference {

const Kernels& table() {
  static const Kernels kTable{
      .name = "reference",
      .column_type = ColumnType::kF32,
      .block_rows = 96,
      .begin_pack = begin_pack,
      .pack_outputs = pack_outputs,
      .pack_granularity = kPanel,
      .pack_rows = pack_rows,
      .matmul = matmul,
      .rms_norm = rms_norm,
      .gated = gated,
      .add = add,
      .softcap = softcap,
      .rope = rope,
      .store_columns = store_columns,
      .attend = attend,
      .packed_tile_bytes = packed_tile_bytes,
      .pack_tile = pack_tile,
      .attend_partial = attend_partial,
      .merge_partials = merge_partials,
      .add_attention_probs = add_attention_probs,
  };
  return kTable;
}

}  // namespace lazyfill::reference
