#include "model/architectures/architectures.h"

namespace lazyfill::architectures {

Result<ModelConfig> olmo2(const gguf::File& file) {
  auto config = common(file, "olmo2");
  if (!config) return config;
  // Olmo 3 has windows in three of four layers, where its rotation is not scaled.
  if (auto read = read_windows(file, 4, *config); !read) return tl::unexpected(read.error());
  auto theta = file.get_float("olmo2.rope.freq_base");  // read_rope() has checked it
  config->ropes.push_back(plain_rope(theta.value_or(10000), config->rope_dim));
  for (LayerConfig& layer : config->layers) layer.rope = layer.window > 0 ? 1 : 0;
  config->rope_neox = true;
  config->qk_norm = QkNorm::kRow;
  config->pre_norms = false;
  config->post_norms = true;
  return config;
}

}  // namespace lazyfill::architectures
