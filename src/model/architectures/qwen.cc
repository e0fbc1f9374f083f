#include "model/architectures/architectures.h"

namespace lazyfill::architectures {

Result<ModelConfig> qwen2(const gguf::File& file) {
  auto config = common(file, "qwen2");
  if (!config) return config;
  config->rope_neox = true;
  config->qkv_bias = true;
  return config;
}

Result<ModelConfig> qwen3(const gguf::File& file) {
  auto config = common(file, "qwen3");
  if (!config) return config;
  config->rope_neox = true;
  config->qk_norm = QkNorm::kHeads;
  return config;
}

Result<ModelConfig> qwen3moe(const gguf::File& file) {
  auto config = common(file, "qwen3moe");
  if (!config) return config;
  if (config->n_experts == 0) {
    return fail(ErrorCode::kInvalidFile, "qwen3moe.expert_count is missing or 0");
  }
  config->rope_neox = true;
  config->qk_norm = QkNorm::kHeads;
  return config;
}

}  // namespace lazyfill::architectures
