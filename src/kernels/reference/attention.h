// Scalar columns and attention; contracts in kernels.h.
#pragma once

#include <cstddef>

#include "kernels/kernels.h"

namespace lazyfill::reference {

void store_columns(ColumnType type, const float* x, size_t n_rows, size_t n_kv_heads, size_t head_dim,
                   size_t capacity, size_t first_slot, std::byte* half);
// A key or value as floats: out [head_dim].
void load_column(ColumnType type, const std::byte* column, size_t head_dim, float* out);

void attend(const AttentionTask& task, size_t kv_begin, size_t kv_end, float* out,
            Buffer<std::byte>& scratch);
size_t packed_tile_bytes(const AttentionTask& task);
void pack_tile(const AttentionTask& task, size_t kv_head, size_t tile, std::byte* to);
void attend_partial(const AttentionTask& task, size_t kv_begin, size_t kv_end, ColumnRange part,
                    float* partial, Buffer<std::byte>& scratch);
void merge_partials(const AttentionShape& shape, const float* partials, size_t n_parts, size_t n_rows,
                    float* out);
void add_attention_probs(const AttentionTask& task, size_t kv_begin, size_t kv_end, float* probs,
                         Buffer<std::byte>& scratch);

}  // namespace lazyfill::reference
