#include "model/architectures/architectures.h"

namespace lazyfill::architectures {

Result<ModelConfig> llama(const gguf::File& file) {
  // Scaled rotations change every angle: computing without them would answer, and wrongly.
  const auto scaling = file.get_string("llama.rope.scaling.type");
  if ((scaling && *scaling != "none") || file.find_tensor("rope_freqs.weight") != nullptr) {
    return fail(ErrorCode::kUnsupported,
                "this llama file scales its rotary embedding (rope.scaling or rope_freqs), "
                "which is not supported yet; use a model without it");
  }
  if (file.find("llama.expert_count") != nullptr && file.get_uint("llama.expert_count").value_or(0) != 0) {
    return fail(ErrorCode::kUnsupported, "mixture-of-experts files are not supported yet; use a dense model");
  }
  return common(file, "llama");
}

}  // namespace lazyfill::architectures
