// The tensor descriptions of a GGUF file. Internal to gguf/; consumers use File.
#pragma once

#include "gguf/cursor.h"
#include "gguf/file.h"

namespace lazyfill::gguf {

// Reads n_tensors descriptions from where the metadata ends and places their data: after it succeeds every
// tensor lies inside the file, aligned, and overlaps no other.
Result<std::vector<TensorInfo>> read_tensors(Cursor& cursor, uint64_t n_tensors, uint64_t alignment);

// Bytes of a tensor, or the reason why this shape and type cannot be (without a tensor's name).
struct TensorSize {
  uint64_t n_elements = 0;
  uint64_t n_bytes = 0;
};
Result<TensorSize> tensor_size(TensorType type, const std::vector<uint64_t>& shape);

}  // namespace lazyfill::gguf
