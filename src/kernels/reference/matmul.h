// Scalar matrix products: fp32 throughout, the truth that the other tables are tested against.
#pragma once

#include <cstddef>

#include "kernels/kernels.h"

namespace lazyfill::reference {

// Outputs that are dequantised and multiplied together.
inline constexpr size_t kPanel = 16;

// The packed matrix holds the blocks as they are in the file; its layout is the tensor type.
Result<PackedMatrix> begin_pack(const RawMatrix& raw);
void pack_outputs(const RawMatrix& rows, PackedMatrix& packed, size_t out_begin);

// A copy: every format but kF32 belongs to another table.
void pack_rows(const float* x, size_t n_rows, size_t n_in, RowFormat format, const Precision& precision,
               PackedRows& rows);

// Sums in the order of the inputs, one fp32 accumulator an output.
void matmul(const PackedMatrix& w, const PackedRows& x, size_t out_begin, size_t out_end, float* out,
            size_t ld_out, bool accumulate);

}  // namespace lazyfill::reference
