// Matrix products with AVX2 on panels (kernels/panels.h). How they work: docs/performance.md.
#pragma once

#include <cstddef>

#include "kernels/kernels.h"

namespace lazyfill::avx2 {

// Rows that a register tile multiplies at once.
inline constexpr size_t kTileRows = 4;

void pack_rows(const float* x, size_t n_rows, size_t n_in, RowFormat format, const Precision& precision,
               PackedRows& rows);
void matmul(const PackedMatrix& w, const PackedRows& x, size_t out_begin, size_t out_end, float* out,
            size_t ld_out, bool accumulate);

// The float layouts of matmul().
void matmul_floats(const PackedMatrix& w, const PackedRows& x, size_t out_begin, size_t out_end, float* out,
                   size_t ld_out, bool accumulate);

}  // namespace lazyfill::avx2
