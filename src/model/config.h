// What the one layer function needs to know of an architecture. An architecture is a function from a file's
// metadata to this struct: see architectures/.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "gguf/file.h"
#include "kernels/kernels.h"
#include "lazyfill/error.h"

namespace lazyfill {

// Rotary embedding of one kind of layer: angle = position * scale * theta^(-2i / rope_dim).
struct RopeConfig {
  double theta = 10000;
  double scale = 1;
};

struct LayerConfig {
  size_t window = 0;  // a row sees the newest `window` columns, itself included; 0: all
  size_t rope = 0;    // index into ModelConfig::ropes
};

struct ModelConfig {
  std::string architecture;
  size_t n_layers = 0;
  size_t d_model = 0;
  size_t n_heads = 0;
  size_t n_kv_heads = 0;
  size_t head_dim = 0;
  size_t d_ff = 0;
  size_t n_vocab = 0;
  size_t context_length = 0;
  float rms_eps = 0;

  size_t rope_dim = 0;
  bool rope_neox = false;  // pairs (i, i + rope_dim/2) instead of (2i, 2i+1)
  std::vector<RopeConfig> ropes;
  std::vector<LayerConfig> layers;  // [n_layers]

  float attention_scale = 0;  // of q.k
  float embedding_scale = 1;
  Activation activation = Activation::kSilu;
  bool qk_norm = false;     // RMS norm of every query and key head before the rotation
  bool post_norms = false;  // norms of the attention's and the feed-forward's output, before the residual

  size_t q_dim() const { return n_heads * head_dim; }
  size_t kv_dim() const { return n_kv_heads * head_dim; }
  AttentionShape attention_shape() const { return {n_heads, n_kv_heads, head_dim, attention_scale, 0}; }

  // Layers after which tokens may be dropped: a sliding-window layer's scores would see only the window, and
  // after the last layer there is nothing left to save.
  std::vector<size_t> prunable_layers() const;
};

// The names of general.architecture that read_config understands.
std::vector<std::string_view> supported_architectures();

// Every value is range-checked: a config that is returned is safe to allocate and to index by.
Result<ModelConfig> read_config(const gguf::File& file);

}  // namespace lazyfill
