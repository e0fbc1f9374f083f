// Matrix products on AMX tiles; contracts in kernels.h.
#pragma once

#include <cstddef>

#include "kernels/kernels.h"

namespace lazyfill::amx {

void pack_rows(const float* x, size_t n_rows, size_t n_in, RowFormat format, const Precision& precision,
               PackedRows& rows);
void matmul(const PackedMatrix& w, const PackedRows& x, size_t out_begin, size_t out_end, float* out,
            size_t ld_out, bool accumulate);

// matmul() for rows of a prompt, on tiles in memory: for tests, on any machine with AVX-512.
void emulated_matmul(const PackedMatrix& w, const PackedRows& x, size_t out_begin, size_t out_end, float* out,
                     size_t ld_out, bool accumulate);

}  // namespace lazyfill::amx
