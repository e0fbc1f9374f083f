// A feed-forward of experts: a router chooses some for every row, and each expert computes all its rows
// together, so that its weights are read once a block.
#pragma once

#include <cstdint>
#include <vector>

#include "base/thread_pool.h"
#include "kernels/kernels.h"
#include "kernels/matmul.h"
#include "model/config.h"
#include "model/shared_input.h"
#include "model/weights.h"

namespace lazyfill {

// Which rows go to which expert, sorted by expert and then by row.
struct Routing {
  std::vector<uint32_t> begin;   // [n_experts + 1] where each expert's rows begin
  std::vector<uint32_t> rows;    // [n_rows * n_experts_used]
  std::vector<float> weights;    // [n_rows * n_experts_used] of the expert's output in the row's
  std::vector<uint32_t> chosen;  // [n_rows, n_experts_used], work of route()
};

// The n_experts_used experts with the largest logits of each row, of equal ones the first, weighted by the
// softmax over all experts. logits [n_rows, n_experts].
void route(const ModelConfig& config, const float* logits, size_t n_rows, Routing& routing);

// Working memory, grown on first use and kept.
struct ExpertScratch {
  Routing routing;
  Buffer<float> logits;             // [block, n_experts]
  Buffer<float> gathered;           // [block * n_experts_used, d_model]
  Buffer<float> gate, up;           // [block * n_experts_used, d_ff]
  Buffer<float> mixed;              // [block, d_model]
  std::vector<SharedInput> inputs;  // [n_experts]
  std::vector<Product> products;
};

// The weighted sum of down(activation(gate) * up) over each row's experts: [n_rows, d_model] in scratch.
// `x` holds the layer's normed rows. A row's result does not depend on the rows beside it.
float* mix_experts(const ModelConfig& config, const Kernels& kernels, const LayerWeights& weights,
                   SharedInput& x, size_t n_rows, const Precision& precision, ExpertScratch& scratch,
                   Team team);

}  // namespace lazyfill
