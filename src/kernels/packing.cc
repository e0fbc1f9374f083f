#include "kernels/packing.h"

#include <new>
#include <string>

#include "base/checked.h"

namespace lazyfill {

Result<size_t> checked_row_bytes(const RawMatrix& raw) {
  const auto traits = gguf::traits_of(raw.type);
  if (!traits || !traits->can_dequantize) {
    return fail(ErrorCode::kUnsupported, "A weight matrix has the type " +
                                             (traits ? std::string(traits->name) : std::string("unknown")) +
                                             ", which this build cannot compute with.");
  }
  if (raw.n_in == 0 || raw.n_out == 0 || raw.n_in % traits->block_elements != 0) {
    return fail(ErrorCode::kInvalidFile, "A weight matrix of type " + std::string(traits->name) +
                                             " has rows of " + std::to_string(raw.n_in) +
                                             " elements, not a whole number of blocks of " +
                                             std::to_string(traits->block_elements) + ".");
  }
  const auto row_bytes = checked_mul(raw.n_in / traits->block_elements, traits->block_bytes);
  // fp32 is the widest layout any table repacks to; the factor leaves room for padding to whole panels.
  const auto elements = checked_mul(raw.n_in, raw.n_out);
  const auto widest = elements ? checked_mul(*elements, 64) : std::nullopt;
  if (!row_bytes || !widest || !checked_mul(*row_bytes, raw.n_out)) {
    return fail(ErrorCode::kInvalidFile, "A weight matrix is larger than this machine can address.");
  }
  return *row_bytes;
}

Result<Buffer<std::byte>> make_buffer(size_t n_bytes) {
  try {
    return Buffer<std::byte>::in_huge_pages(n_bytes);
  } catch (const std::bad_alloc&) {
    return fail(ErrorCode::kOutOfMemory, "Not enough memory for the weights of the model.");
  }
}

}  // namespace lazyfill
