// Matrix products shared by threads: the same for every instruction set.
#pragma once

#include <cstddef>
#include <span>

#include "base/thread_pool.h"
#include "kernels/kernels.h"

namespace lazyfill {

// Repacks the whole matrix, the outputs dealt out over the team. Fails for types that cannot be dequantised,
// and for an n_in that is not a whole number of blocks.
Result<PackedMatrix> pack_matrix(const Kernels& kernels, const RawMatrix& raw, Team team);

// Brings the blocks of outputs [begin, end) of a matrix to `to`. Called by several threads at the same time.
using ReadOutputs = FunctionRef<Result<void>(size_t begin, size_t end, std::byte* to)>;

// The same for a matrix that is not in memory (raw.data is not looked at): it is read in pieces of a
// megabyte. The first error of `read` is passed on.
Result<PackedMatrix> pack_matrix(const Kernels& kernels, const RawMatrix& raw, ReadOutputs read, Team team);

// out[r * ld_out + o] (+)= sum_i x[r, i] * w[o, i] for all rows r and outputs o. `x` must be packed in
// w.row_format and of w.n_in inputs.
struct Product {
  const PackedMatrix* w = nullptr;
  const PackedRows* x = nullptr;
  float* out = nullptr;
  size_t ld_out = 0;
  bool accumulate = false;
};

// Products that do not depend on each other, their outputs dealt out over the team together: one wait for all
// of them. The result does not depend on the team.
void multiply(const Kernels& kernels, std::span<const Product> products, Team team);

// The same for one product.
void matmul(const Kernels& kernels, const PackedMatrix& w, const PackedRows& x, float* out, size_t ld_out,
            bool accumulate, Team team);

}  // namespace lazyfill
