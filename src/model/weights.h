// The weights of a model, packed for one instruction set.
#pragma once

#include <vector>

#include "base/buffer.h"
#include "base/thread_pool.h"
#include "gguf/file.h"
#include "kernels/kernels.h"
#include "lazyfill/error.h"
#include "lazyfill/types.h"
#include "model/config.h"

namespace lazyfill {

// One of many feed-forwards.
struct Expert {
  PackedMatrix gate, up;  // [d_ff, d_model]
  PackedMatrix down;      // [d_model, d_ff]
};

// Which products of a layer have activations of 16 bits instead of 8 (docs/performance.md, precision).
struct PreciseProducts {
  bool qkv = false;   // queries, keys and values
  bool rest = false;  // o and the feed-forward
};
PreciseProducts precise_products(ActivationBits bits, size_t layer, size_t n_layers);

// Vectors that an architecture does not have are empty.
struct LayerWeights {
  std::vector<float> attention_norm;       // [d_model], with pre_norms
  PackedMatrix q;                          // [q_dim, d_model]
  PackedMatrix k, v;                       // [kv_dim, d_model]
  std::vector<float> q_bias;               // [q_dim]
  std::vector<float> k_bias, v_bias;       // [kv_dim]
  std::vector<float> q_norm;               // [head_dim] or [q_dim]: see QkNorm
  std::vector<float> k_norm;               // [head_dim] or [kv_dim]
  PackedMatrix o;                          // [d_model, q_dim]
  std::vector<float> o_bias;               // [d_model]
  std::vector<float> post_attention_norm;  // [d_model], with post_norms
  std::vector<float> ffn_norm;             // [d_model], with pre_norms
  PackedMatrix gate, up;                   // [d_ff, d_model]; without experts
  PackedMatrix down;                       // [d_model, d_ff]; without experts
  std::vector<float> gate_bias, up_bias;   // [d_ff]
  std::vector<float> down_bias;            // [d_model]
  PackedMatrix router;                     // [n_experts, d_model] in fp32
  std::vector<Expert> experts;             // [n_experts]
  std::vector<float> post_ffn_norm;        // [d_model], with post_norms
  PreciseProducts precise;
};

// The embedding stays in the file: a prompt needs few of its rows, and reading one takes a microsecond.
struct EmbeddingTable {
  const gguf::File* file = nullptr;
  const gguf::TensorInfo* tensor = nullptr;  // [n_vocab, d_model]
};

struct ModelWeights {
  EmbeddingTable embedding;
  std::vector<LayerWeights> layers;
  std::vector<float> output_norm;  // [d_model], times logit_scale
  PackedMatrix output;             // [n_vocab, d_model]; the embedding again where the head is tied

  uint64_t packed_bytes() const;
  // What a decode step reads of a layer, mean, and of all layers and the output together: of n_experts
  // experts the n_used that one token takes.
  double layer_bytes(const ModelConfig& config) const;
  double step_bytes(const ModelConfig& config) const;
};

// Checks every tensor's presence, shape and type, and packs. The file must outlive the weights.
Result<ModelWeights> load_weights(const gguf::File& file, const ModelConfig& config, const Kernels& kernels,
                                  ActivationBits activation_bits, Team team);

}  // namespace lazyfill
