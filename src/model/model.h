// A model ready to compute: what it is, and its weights.
#pragma once

#include <span>

#include "gguf/file.h"
#include "model/config.h"
#include "model/layer.h"
#include "model/weights.h"

namespace lazyfill {

struct Model {
  ModelConfig config;
  ModelWeights weights;
  const Kernels* kernels = nullptr;

  static Result<Model> load(const gguf::File& file, const Kernels& kernels, ActivationBits activation_bits,
                            Team team);

  // Hidden states of tokens before layer 0: out [ids.size(), d_model]. Fails where the file has changed.
  Result<void> embed(std::span<const int32_t> ids, float* out) const;

  // Logits [n_rows, n_vocab] of hidden states [n_rows, d_model] after the last layer.
  void logits(const float* hidden, size_t n_rows, float* out, LayerScratch& scratch, Team team) const;
};

}  // namespace lazyfill
