// What a step says where a model computes no numbers.
#pragma once

#include "lazyfill/error.h"

namespace lazyfill {

inline tl::unexpected<Error> no_numbers() {
  return fail(ErrorCode::kInvalidFile,
              "the model computes hidden states or logits that are no finite numbers; its file is damaged or "
              "was made wrongly");
}

}  // namespace lazyfill
