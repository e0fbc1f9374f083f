#include <cmath>

#include "model/architectures/architectures.h"
#include "model/architectures/fields.h"

namespace lazyfill::architectures {
namespace {

struct SizeField {
  const char* key;
  size_t ModelConfig::*field;
  uint64_t max;
};

// Bounds far above any model there is, and low enough that their products fit in 64 bits.
constexpr SizeField kSizes[] = {
    {"block_count", &ModelConfig::n_layers, 1024},
    {"embedding_length", &ModelConfig::d_model, 1U << 17},
    {"feed_forward_length", &ModelConfig::d_ff, 1U << 20},
    {"attention.head_count", &ModelConfig::n_heads, 1024},
    {"context_length", &ModelConfig::context_length, 1U << 28},
};

// Keys or values of a width of their own (some architectures have it) are not something the layer does.
Result<size_t> read_head_dim(const gguf::File& file, const std::string& prefix, const ModelConfig& config) {
  auto key_dim = read_size_or(file, prefix + "attention.key_length", 1024, config.d_model / config.n_heads);
  if (!key_dim) return key_dim;
  auto value_dim = read_size_or(file, prefix + "attention.value_length", 1024, *key_dim);
  if (!value_dim) return value_dim;
  if (*key_dim == 0 || *key_dim != *value_dim || *key_dim % 8 != 0) {
    return fail(ErrorCode::kUnsupported, "heads of " + std::to_string(*key_dim) + " key and " +
                                             std::to_string(*value_dim) +
                                             " value elements; both must be the same multiple of 8");
  }
  return key_dim;
}

// The rotary embedding, with whatever scaling the file states.
Result<void> read_rotation(const gguf::File& file, const std::string& prefix, ModelConfig& config) {
  auto rope_dim = read_size_or(file, prefix + "rope.dimension_count", config.head_dim, config.head_dim);
  if (!rope_dim) return tl::unexpected(rope_dim.error());
  config.rope_dim = *rope_dim;
  if (config.rope_dim % 2 != 0) {
    return fail(ErrorCode::kInvalidFile, prefix + "rope.dimension_count is odd; a rotation needs pairs");
  }
  auto rope = read_rope(file, config);
  if (!rope) return tl::unexpected(rope.error());
  config.ropes = {std::move(*rope)};
  return {};
}

// A feed-forward of many, of which a router chooses some for every row.
Result<void> read_experts(const gguf::File& file, const std::string& prefix, ModelConfig& config) {
  if (file.get_uint(prefix + "expert_count").value_or(0) == 0) return {};
  auto n_experts = read_size(file, prefix + "expert_count", 1024);
  if (!n_experts) return tl::unexpected(n_experts.error());
  auto n_used = read_size(file, prefix + "expert_used_count", *n_experts);
  if (!n_used) return tl::unexpected(n_used.error());
  auto d_ff = read_size_or(file, prefix + "expert_feed_forward_length", 1U << 20, config.d_ff);
  if (!d_ff) return tl::unexpected(d_ff.error());
  auto scale = read_float_or(file, prefix + "expert_weights_scale", 1);
  if (!scale) return tl::unexpected(scale.error());
  constexpr uint64_t kSoftmax = 1;
  if (file.get_uint(prefix + "expert_gating_func").value_or(kSoftmax) != kSoftmax) {
    return fail(ErrorCode::kUnsupported, "its router weighs experts by something else than a softmax");
  }
  config.n_experts = *n_experts;
  config.n_experts_used = *n_used;
  config.d_ff = *d_ff;
  config.expert_weight_scale = *scale == 0 ? 1 : static_cast<float>(*scale);  // 0: as if it were not there
  config.normalize_expert_weights = file.get_bool(prefix + "expert_weights_norm").value_or(true);
  return {};
}

Result<size_t> read_vocabulary(const gguf::File& file) {
  const gguf::TensorInfo* embedding = file.find_tensor("token_embd.weight");
  if (embedding == nullptr || embedding->shape.size() != 2) {
    return fail(ErrorCode::kInvalidFile, "the tensor token_embd.weight is missing or not a matrix");
  }
  if (embedding->shape[1] > (1U << 24)) {
    return fail(ErrorCode::kInvalidFile, "a vocabulary of more than 16 million tokens");
  }
  return static_cast<size_t>(embedding->shape[1]);
}

}  // namespace

Result<ModelConfig> common(const gguf::File& file, const std::string& architecture) {
  const std::string prefix = architecture + ".";
  ModelConfig config;
  config.architecture = architecture;
  for (const SizeField& size : kSizes) {
    auto value = read_size(file, prefix + size.key, size.max);
    if (!value) return tl::unexpected(value.error());
    config.*size.field = *value;
  }
  auto n_kv_heads = read_size_or(file, prefix + "attention.head_count_kv", 1024, config.n_heads);
  if (!n_kv_heads) return tl::unexpected(n_kv_heads.error());
  config.n_kv_heads = *n_kv_heads;
  if (config.n_heads % config.n_kv_heads != 0) {
    return fail(ErrorCode::kInvalidFile, std::to_string(config.n_heads) + " query heads cannot share " +
                                             std::to_string(config.n_kv_heads) + " key heads evenly");
  }
  auto head_dim = read_head_dim(file, prefix, config);
  if (!head_dim) return tl::unexpected(head_dim.error());
  config.head_dim = *head_dim;

  if (auto read = read_rotation(file, prefix, config); !read) return tl::unexpected(read.error());
  if (auto read = read_experts(file, prefix, config); !read) return tl::unexpected(read.error());
  auto eps = file.get_float(prefix + "attention.layer_norm_rms_epsilon");
  if (!eps) return tl::unexpected(eps.error());
  if (*eps <= 0 || *eps > 1) {
    return fail(ErrorCode::kInvalidFile, prefix + "attention.layer_norm_rms_epsilon must be above 0");
  }
  config.rms_eps = static_cast<float>(*eps);
  auto n_vocab = read_vocabulary(file);
  if (!n_vocab) return tl::unexpected(n_vocab.error());
  config.n_vocab = *n_vocab;

  config.layers.resize(config.n_layers);
  config.attention_scale = 1.0F / std::sqrt(static_cast<float>(config.head_dim));
  return config;
}

}  // namespace lazyfill::architectures
