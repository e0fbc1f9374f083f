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

// Rotary embedding of one kind of layer: pair i turns by position * frequencies[i].
struct RopeConfig {
  std::vector<double> frequencies;  // [rope_dim / 2], radians a position
  double magnitude = 1;             // of the cosines and sines: YaRN and LongRoPE sharpen attention with it
  // LongRoPE: the frequencies in a sequence that may grow beyond `long_above` tokens; else empty.
  std::vector<double> long_frequencies;
  size_t long_above = 0;
};

// RMS norm of queries and keys before the rotation: of every head by itself, or of a row's heads together.
enum class QkNorm { kNone, kHeads, kRow };

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
  size_t d_ff = 0;            // of one expert where there are experts
  size_t n_experts = 0;       // 0: one dense feed-forward a layer
  size_t n_experts_used = 0;  // by a row
  size_t n_vocab = 0;
  size_t context_length = 0;
  float rms_eps = 0;

  size_t rope_dim = 0;
  bool rope_neox = false;  // pairs (i, i + rope_dim/2) instead of (2i, 2i+1)
  std::vector<RopeConfig> ropes;
  std::vector<LayerConfig> layers;  // [n_layers]

  float attention_scale = 0;    // of q.k
  float attention_softcap = 0;  // of the scores; 0: none
  float embedding_scale = 1;
  float residual_scale = 1;  // of what a layer adds to the hidden states
  float logit_scale = 1;
  float logit_softcap = 0;  // 0: none
  Activation activation = Activation::kSilu;
  bool qkv_bias = false;
  QkNorm qk_norm = QkNorm::kNone;
  bool pre_norms = true;    // norms of what goes into attention and feed-forward
  bool post_norms = false;  // norms of the attention's and the feed-forward's output, before the residual
  bool normalize_expert_weights = true;  // a row's weights of its experts add up to one ...
  float expert_weight_scale = 1;         // ... and are multiplied with this

  size_t q_dim() const { return n_heads * head_dim; }
  size_t kv_dim() const { return n_kv_heads * head_dim; }
  AttentionShape attention_shape() const {
    return {n_heads, n_kv_heads, head_dim, attention_scale, attention_softcap};
  }

  // Layers after which tokens may be dropped: a sliding-window layer's scores would see only the window, and
  // after the last layer there is nothing left to save.
  std::vector<size_t> prunable_layers() const;
};

// The names of general.architecture that read_config understands.
std::vector<std::string_view> supported_architectures();

// Every value is range-checked: a config that is returned is safe to allocate and to index by.
Result<ModelConfig> read_config(const gguf::File& file);

}  // namespace lazyfill
