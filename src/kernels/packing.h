// What every table checks before it repacks a matrix.
#pragma once

#include <cstddef>

#include "kernels/kernels.h"

namespace lazyfill {

// Bytes of one output's blocks in the file. Fails where the type cannot be dequantised or n_in is not a whole
// number of blocks; the size of the whole matrix is checked to fit too.
Result<size_t> checked_row_bytes(const RawMatrix& raw);

// A byte buffer of n bytes; an error instead of an exception where there is no memory.
Result<Buffer<std::byte>> make_buffer(size_t n_bytes);

}  // namespace lazyfill
