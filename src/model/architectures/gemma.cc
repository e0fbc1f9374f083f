#include <cmath>

#include "model/architectures/architectures.h"
#include "model/architectures/fields.h"

namespace lazyfill::architectures {
namespace {

// What the two have in common. In their largest model (of `n_wide_layers`) the scores are divided by the
// width that a head would have if heads filled d_model.
void set_common(ModelConfig& config, size_t n_wide_layers) {
  const size_t width = config.n_layers == n_wide_layers ? config.d_model / config.n_heads : config.head_dim;
  config.attention_scale = 1.0F / std::sqrt(static_cast<float>(width));
  config.embedding_scale = std::sqrt(static_cast<float>(config.d_model));
  config.activation = Activation::kGelu;
  config.rope_neox = true;
  config.post_norms = true;
}

Result<float> read_softcap(const gguf::File& file, const std::string& key, double fallback) {
  auto cap = read_float_or(file, key, fallback);
  if (!cap) return tl::unexpected(cap.error());
  if (*cap < 0) return fail(ErrorCode::kInvalidFile, key + " must not be negative");
  return static_cast<float>(*cap);
}

}  // namespace

Result<ModelConfig> gemma2(const gguf::File& file) {
  auto config = common(file, "gemma2");
  if (!config) return config;
  if (auto read = read_windows(file, 2, *config); !read) return tl::unexpected(read.error());
  auto attention_cap = read_softcap(file, "gemma2.attn_logit_softcapping", 50);
  if (!attention_cap) return tl::unexpected(attention_cap.error());
  auto logit_cap = read_softcap(file, "gemma2.final_logit_softcapping", 30);
  if (!logit_cap) return tl::unexpected(logit_cap.error());
  set_common(*config, 46);
  config->attention_softcap = *attention_cap;
  config->logit_softcap = *logit_cap;
  return config;
}

Result<ModelConfig> gemma3(const gguf::File& file) {
  auto config = common(file, "gemma3");
  if (!config) return config;
  // One global layer closes every run of six (section 2 of the report); the others turn by a base of their
  // own.
  if (auto read = read_windows(file, 6, *config); !read) return tl::unexpected(read.error());
  auto local_theta = read_float_or(file, "gemma3.rope.freq_base_swa", 10000);
  if (!local_theta) return tl::unexpected(local_theta.error());
  if (*local_theta <= 0) return fail(ErrorCode::kInvalidFile, "gemma3.rope.freq_base_swa must be above 0");
  auto logit_cap = read_softcap(file, "gemma3.final_logit_softcapping", 0);
  if (!logit_cap) return tl::unexpected(logit_cap.error());
  config->ropes.push_back(plain_rope(*local_theta, config->rope_dim));
  for (LayerConfig& layer : config->layers) layer.rope = layer.window > 0 ? 1 : 0;
  set_common(*config, 62);
  config->logit_softcap = *logit_cap;
  config->qk_norm = QkNorm::kHeads;
  return config;
}

}  // namespace lazyfill::architectures
