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

// out[r * ld_out + o] (+)= sum_i x[r, i] * w[o, i] for all rows r and outputs o, the outputs dealt out over
// the team. `x` must be packed in w.row_format and of w.n_in inputs. The result does not depend on the team.
void matmul(const Kernels& kernels, const PackedMatrix& w, const PackedRows& x, float* out, size_t ld_out,
            bool accumulate, Team team);

// Rows of which the first n_plain have the activations of the table's own format and the others 16 bits,
// where that format has 8: as their 8-bit value and, behind all rows, the remainder that it leaves.
struct MixedRows {
  size_t n_rows = 0;
  size_t n_plain = 0;
  PackedRows packed;  // n_rows, then the remainders of the last n_rows - n_plain
};

// `split` is scratch. For formats of more than 8 bits every row is packed as ever.
void pack_rows_mixed(const Kernels& kernels, const float* x, size_t n_rows, size_t n_plain, size_t n_in,
                     RowFormat format, Buffer<float>& split, MixedRows& rows);

// out[r * ld_out + o] (+)= sum_i x[r, i] * w[o, i], as matmul() does.
struct Product {
  const PackedMatrix* w = nullptr;
  const MixedRows* x = nullptr;
  float* out = nullptr;
  size_t ld_out = 0;
  bool accumulate = false;
};

// Products that do not depend on each other, dealt out over the team together: one wait for all of them. The
// weights are read once for rows of both kinds. `sums` is scratch. The result does not depend on the team.
void multiply(const Kernels& kernels, std::span<const Product> products, Buffer<float>& sums, Team team);

}  // namespace lazyfill
