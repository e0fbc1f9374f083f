// Matrix products shared by threads: the same for every instruction set.
#pragma once

#include <cstddef>

#include "base/thread_pool.h"
#include "kernels/kernels.h"

namespace lazyfill {

// Repacks the whole matrix, the outputs dealt out over the team. Fails for types that cannot be dequantised,
// and for an n_in that is not a whole number of blocks.
Result<PackedMatrix> pack_matrix(const Kernels& kernels, const RawMatrix& raw, Team team);

// out[r * ld_out + o] (+)= sum_i x[r, i] * w[o, i] for all rows r and outputs o, the outputs dealt out over
// the team. `x` must be packed in w.row_format and of w.n_in inputs. The result does not depend on the team.
void matmul(const Kernels& kernels, const PackedMatrix& w, const PackedRows& x, float* out, size_t ld_out,
            bool accumulate, Team team);

// Rows with activations of 16 bits where the table would take 8: each row as its 8-bit value and, n_rows
// further on, as the remainder that this leaves. `split` is scratch. For formats of more bits the rows are
// packed as ever.
void pack_rows_precise(const Kernels& kernels, const float* x, size_t n_rows, size_t n_in, RowFormat format,
                       Buffer<float>& split, PackedRows& rows);

// matmul() of rows from pack_rows_precise: both halves are multiplied side by side, so the weights are still
// read once, and added up. `products` is scratch.
void matmul_precise(const Kernels& kernels, const PackedMatrix& w, const PackedRows& x, float* out,
                    size_t ld_out, bool accumulate, Buffer<float>& products, Team team);

}  // namespace lazyfill
