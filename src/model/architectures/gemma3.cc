#include <cmath>

#include "model/architectures/architectures.h"

namespace lazyfill::architectures {
namespace {

// One global layer closes every run of six; the others slide (section 2 of the report).
constexpr size_t kGlobalEvery = 6;
constexpr double kLocalTheta = 10000;  // files state the base of the global layers only

// 27B, the only one of 62 layers, divides by the width a head would have if heads filled d_model.
float attention_scale(const ModelConfig& config) {
  const size_t width = config.n_layers == 62 ? config.d_model / config.n_heads : config.head_dim;
  return 1.0F / std::sqrt(static_cast<float>(width));
}

}  // namespace

Result<ModelConfig> gemma3(const gguf::File& file) {
  auto config = common(file, "gemma3");
  if (!config) return config;
  auto window = file.get_uint("gemma3.attention.sliding_window");
  if (!window) return tl::unexpected(window.error());
  if (*window == 0 || *window > (1U << 28)) {
    return fail(ErrorCode::kInvalidFile, "gemma3.attention.sliding_window must be from 1 to 2^28");
  }
  double scale = 1;
  if (const auto factor = file.get_float("gemma3.rope.scaling.factor"); factor && *factor > 0)
    scale = 1 / *factor;

  config->ropes = {{config->ropes[0].theta, scale}, {kLocalTheta, 1.0}};
  for (size_t i = 0; i < config->n_layers; ++i) {
    const bool is_global = (i + 1) % kGlobalEvery == 0;
    config->layers[i] = {is_global ? 0 : static_cast<size_t>(*window), is_global ? 0U : 1U};
  }
  config->rope_neox = true;
  config->attention_scale = attention_scale(*config);
  config->embedding_scale = std::sqrt(static_cast<float>(config->d_model));
  config->activation = Activation::kGelu;
  config->qk_norm = true;
  config->post_norms = true;
  return config;
}

}  // namespace lazyfill::architectures
