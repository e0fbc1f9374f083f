// Whether weights are numbers at all. A scale that is infinite or no number would spread over every hidden
// state.
#pragma once

#include <cstddef>
#include <span>

#include "gguf/tensor_type.h"

namespace lazyfill::gguf {

// Looks at the scales of blocks as they lie in the file (whole blocks of a type that can be dequantised), or
// at the floats themselves. Fails with half a sentence, "holds a number that is not finite...".
Result<void> check_finite(TensorType type, std::span<const std::byte> blocks);

}  // namespace lazyfill::gguf
