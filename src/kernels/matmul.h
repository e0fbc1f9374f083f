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

}  // namespace lazyfill
