#include "kernels/avx2/attention.h"
#include "kernels/avx2/elementwise.h"
#include "kernels/avx2/matmul.h"
#include "kernels/panels.h"
#include "kernels/tables.h"

namespace lazyfill::avx2 {

const Kernels& table() {
  static const Kernels kTable = [] {
    Kernels table = reference::table();
    table.isa = Isa::kAvx2;
    table.name = "avx2";
    table.column_type = ColumnType::kF16;
    table.rms_norm = rms_norm;
    table.gated = gated;
    table.add = add;
    table.softcap = softcap;
    table.rope = rope;
    table.store_columns = store_columns;
    table.attend = attend;
    table.packed_tile_bytes = packed_tile_bytes;
    table.pack_tile = pack_tile;
    table.attend_partial = attend_partial;
    table.merge_partials = merge_partials;
    table.add_attention_probs = add_attention_probs;
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
