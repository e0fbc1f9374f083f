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

// Working memory of matmul_precise, grown on first use and kept.
struct PreciseScratch {
  Buffer<float> split;     // [2 * chunk, n_in] rows and what their 8 bits leave over
  Buffer<float> products;  // [2 * chunk, n_out]
  PackedRows rows;
};

// The same product with activations of 16 bits where the table would take 8: each row is multiplied as its
// 8-bit value and as the remainder that this leaves, side by side, so that the weights are still read once.
// For the few products whose rounding meets the logits directly. x [n_rows, n_in] as it is, not packed.
void matmul_precise(const Kernels& kernels, const PackedMatrix& w, const float* x, size_t n_rows, float* out,
                    size_t ld_out, bool accumulate, PreciseScratch& scratch, Team team);

}  // namespace lazyfill
