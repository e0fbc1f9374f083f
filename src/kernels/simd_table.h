// What the tables of AVX2 and AVX-512 hold but for the matrix products: the same templates over Simd
// (avx2/simd.h, avx512/simd.h). To be included by files of one instruction set only.
#pragma once

#include "kernels/attention_integers.h"
#include "kernels/attention_simd.h"
#include "kernels/elementwise_simd.h"
#include "kernels/kernels.h"
#include "kernels/panels.h"
#include "kernels/reference/attention.h"
#include "kernels/tables.h"

namespace lazyfill {

// Attention multiplies in integers, or in OtherProducts.
template <class Simd, class OtherProducts>
class SimdAttention {
  using Integers = tiles::IntegerProducts<Simd>;
  using Columns = tiles::TileColumns<Simd, Integers>;

 public:
  static void attend(const AttentionTask& task, size_t kv_begin, size_t kv_end, float* out,
                     Buffer<std::byte>& scratch) {
    if (in_integers(task)) return tiles::attend<Simd, Integers>(task, kv_begin, kv_end, out, scratch);
    tiles::attend<Simd, OtherProducts>(task, kv_begin, kv_end, out, scratch);
  }

  static size_t packed_tile_bytes(const AttentionTask& task) {
    return in_integers(task) ? Columns::packed_bytes(task.shape) : 0;
  }

  static void pack_tile(const AttentionTask& task, size_t kv_head, size_t tile, std::byte* to) {
    Columns(task, kv_head).pack(tile, to);
  }

  static void attend_partial(const AttentionTask& task, size_t kv_begin, size_t kv_end, ColumnRange part,
                             float* partial, Buffer<std::byte>& scratch) {
    if (in_integers(task)) {
      return tiles::attend_partial<Simd, Integers>(task, kv_begin, kv_end, part, partial, scratch);
    }
    tiles::attend_partial<Simd, OtherProducts>(task, kv_begin, kv_end, part, partial, scratch);
  }

 private:
  // Capped scores are a function of themselves before the softmax: they need products that give floats, as do
  // heads of odd sizes.
  static bool in_integers(const AttentionTask& task) {
    return task.shape.softcap <= 0 && task.shape.head_dim % Simd::kLanes == 0;
  }
};

template <class Simd, class OtherProducts>
Kernels simd_table(std::string_view name) {
  using Attention = SimdAttention<Simd, OtherProducts>;
  Kernels table = reference::table();
  table.name = name;
  table.column_type = ColumnType::kF16;
  table.rms_norm = elementwise::rms_norm<Simd>;
  table.gated = elementwise::gated<Simd>;
  table.add = elementwise::add<Simd>;
  table.softcap = elementwise::softcap<Simd>;
  table.rope = elementwise::rope<Simd>;
  table.store_columns = elementwise::store_columns<Simd>;
  table.attend = Attention::attend;
  table.packed_tile_bytes = Attention::packed_tile_bytes;
  table.pack_tile = Attention::pack_tile;
  table.attend_partial = Attention::attend_partial;
  table.add_attention_probs = tiles::add_attention_probs<Simd>;
  table.begin_pack = panels::begin_pack;
  table.pack_outputs = panels::pack_outputs;
  table.pack_granularity = panels::kGranularity;
  return table;
}

}  // namespace lazyfill
