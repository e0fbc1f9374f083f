#include "model/architectures/architectures.h"

namespace lazyfill::architectures {

Result<ModelConfig> llama(const gguf::File& file) {
  auto config = common(file, "llama");
  if (!config) return config;
  // Mistral 7B v0.1 slides in every layer (arXiv 2310.06825, section 2), where the file says so.
  if (auto read = read_windows(file, 0, *config); !read) return tl::unexpected(read.error());
  return config;
}

}  // namespace lazyfill::architectures
