#include "model/config.h"

#include "model/architectures/architectures.h"

namespace lazyfill {
namespace {

struct Architecture {
  std::string_view name;
  Result<ModelConfig> (*read)(const gguf::File&);
};

constexpr Architecture kArchitectures[] = {
    {"llama", architectures::llama},     {"qwen2", architectures::qwen2},
    {"qwen3", architectures::qwen3},     {"qwen3moe", architectures::qwen3moe},
    {"phi3", architectures::phi3},       {"gemma2", architectures::gemma2},
    {"gemma3", architectures::gemma3},   {"olmo2", architectures::olmo2},
    {"granite", architectures::granite}, {"smollm3", architectures::smollm3},
};

}  // namespace

std::vector<size_t> ModelConfig::prunable_layers() const {
  std::vector<size_t> prunable;
  for (size_t i = 0; i + 1 < n_layers; ++i) {
    if (layers[i].window == 0) prunable.push_back(i);
  }
  return prunable;
}

std::vector<std::string_view> supported_architectures() {
  std::vector<std::string_view> names;
  for (const Architecture& architecture : kArchitectures) names.push_back(architecture.name);
  return names;
}

Result<ModelConfig> read_config(const gguf::File& file) {
  auto name = file.get_string("general.architecture");
  if (!name) return tl::unexpected(name.error());
  for (const Architecture& architecture : kArchitectures) {
    if (architecture.name != *name) continue;
    auto config = architecture.read(file);
    if (!config) return config;
    for (LayerConfig& layer : config->layers) {
      if (layer.window >= config->context_length) layer.window = 0;  // as wide as can be: it can prune
    }
    return config;
  }
  std::string known;
  for (std::string_view supported : supported_architectures()) {
    known += (known.empty() ? "" : ", ") + std::string(supported);
  }
  return fail(ErrorCode::kUnsupported,
              "the architecture \"" + name->substr(0, 40) + "\" is not supported; these are: " + known);
}

}  // namespace lazyfill
