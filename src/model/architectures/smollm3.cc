#include "model/architectures/architectures.h"

namespace lazyfill::architectures {

Result<ModelConfig> smollm3(const gguf::File& file) {
  auto config = common(file, "smollm3");
  if (!config) return config;
  // Every fourth layer has no positions. No key says so; it is the same in all published models.
  config->ropes.push_back(no_rope(config->rope_dim));
  for (size_t i = 3; i < config->n_layers; i += 4) config->layers[i].rope = 1;
  return config;
}

}  // namespace lazyfill::architectures
