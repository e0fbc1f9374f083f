#include "model/architectures/architectures.h"
#include "model/architectures/fields.h"

namespace lazyfill::architectures {

Result<ModelConfig> granite(const gguf::File& file) {
  auto config = common(file, "granite");
  if (!config) return config;
  double logit_divisor = 1;
  double attention_scale = config->attention_scale;
  double embedding_scale = 1;
  double residual_scale = 1;
  const std::pair<const char*, double*> multipliers[] = {
      {"granite.logit_scale", &logit_divisor},
      {"granite.attention.scale", &attention_scale},
      {"granite.embedding_scale", &embedding_scale},
      {"granite.residual_scale", &residual_scale},
  };
  for (const auto& [key, value] : multipliers) {
    auto read = read_float_or(file, key, *value);
    if (!read) return tl::unexpected(read.error());
    if (*read <= 0) return fail(ErrorCode::kInvalidFile, std::string(key) + " must be above 0");
    *value = *read;
  }
  config->logit_scale = static_cast<float>(1 / logit_divisor);
  config->attention_scale = static_cast<float>(attention_scale);
  config->embedding_scale = static_cast<float>(embedding_scale);
  config->residual_scale = static_cast<float>(residual_scale);
  // Granite 4's dense models may have no positions at all; this key says so.
  if (!file.get_bool("granite.rope.scaling.finetuned").value_or(true)) {
    config->ropes[0] = no_rope(config->rope_dim);
  }
  return config;
}

}  // namespace lazyfill::architectures
