#include "model/architectures/architectures.h"

namespace lazyfill::architectures {

Result<ModelConfig> phi3(const gguf::File& file) {
  auto config = common(file, "phi3");
  if (!config) return config;
  if (auto read = read_windows(file, 0, *config); !read) return tl::unexpected(read.error());
  config->rope_neox = true;
  return config;
}

}  // namespace lazyfill::architectures
