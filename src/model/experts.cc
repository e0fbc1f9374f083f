#include "model/experts.h"

#include <algorithm>
#include <cmath>

namespace lazyfill {
namespace {

// The index of the largest logit that is not among the first n_chosen. Always one of them, even of NaNs.
uint32_t next_best(const float* logits, size_t n_experts, const uint32_t* chosen, size_t n_chosen) {
  size_t best = n_experts;
  for (size_t i = 0; i < n_experts; ++i) {
    if (std::find(chosen, chosen + n_chosen, i) != chosen + n_chosen) continue;
    if (best == n_experts || logits[i] > logits[best]) best = i;
  }
  return static_cast<uint32_t>(best);
}

// What the softmax over all of a row's logits is divided by, so that the chosen weights are right.
float softmax_divisor(const ModelConfig& config, const float* logits, const uint32_t* chosen) {
  const float largest = logits[chosen[0]];
  float sum = 0;
  if (config.normalize_expert_weights) {
    for (size_t k = 0; k < config.n_experts_used; ++k) sum += std::exp(logits[chosen[k]] - largest);
  } else {
    for (size_t i = 0; i < config.n_experts; ++i) sum += std::exp(logits[i] - largest);
  }
  return sum;
}

size_t n_rows_of(const Routing& routing, size_t expert) {
  return routing.begin[expert + 1] - routing.begin[expert];
}

// Each expert's rows side by side, converted for its products.
void gather(const ModelConfig& config, const Kernels& kernels, const SharedInput& x, ExpertScratch& scratch) {
  const Routing& routing = scratch.routing;
  scratch.gathered.ensure(routing.rows.size() * config.d_model);
  for (size_t i = 0; i < routing.rows.size(); ++i) {
    const float* row = x.rows() + routing.rows[i] * config.d_model;
    std::copy_n(row, config.d_model, scratch.gathered.data() + i * config.d_model);
  }
  scratch.inputs.resize(config.n_experts);
  for (size_t e = 0; e < config.n_experts; ++e) {
    const float* rows = scratch.gathered.data() + routing.begin[e] * config.d_model;
    scratch.inputs[e].set(kernels, rows, n_rows_of(routing, e), config.d_model);
  }
}

}  // namespace

void route(const ModelConfig& config, const float* logits, size_t n_rows, Routing& routing) {
  const size_t n_used = config.n_experts_used;
  routing.chosen.resize(n_rows * n_used);
  routing.begin.assign(config.n_experts + 1, 0);
  for (size_t row = 0; row < n_rows; ++row) {
    uint32_t* chosen = routing.chosen.data() + row * n_used;
    for (size_t k = 0; k < n_used; ++k) {
      chosen[k] = next_best(logits + row * config.n_experts, config.n_experts, chosen, k);
      ++routing.begin[chosen[k] + 1];
    }
  }
  for (size_t e = 0; e < config.n_experts; ++e) routing.begin[e + 1] += routing.begin[e];

  routing.rows.resize(n_rows * n_used);
  routing.weights.resize(n_rows * n_used);
  std::vector<uint32_t>& next = routing.begin;  // moves up by each expert's rows, and is moved back below
  for (size_t row = 0; row < n_rows; ++row) {
    const float* own = logits + row * config.n_experts;
    const uint32_t* chosen = routing.chosen.data() + row * n_used;
    const float divisor = softmax_divisor(config, own, chosen);
    for (size_t k = 0; k < n_used; ++k) {
      const uint32_t at = next[chosen[k]]++;
      routing.rows[at] = static_cast<uint32_t>(row);
      routing.weights[at] = config.expert_weight_scale * std::exp(own[chosen[k]] - own[chosen[0]]) / divisor;
    }
  }
  std::copy_backward(next.begin(), next.end() - 1, next.end());
  next[0] = 0;
}

float* mix_experts(const ModelConfig& config, const Kernels& kernels, const LayerWeights& weights,
                   SharedInput& x, size_t n_rows, const Precision& precision, ExpertScratch& scratch,
                   Team team) {
  const size_t d_model = config.d_model;
  const size_t d_ff = config.d_ff;
  scratch.logits.ensure(n_rows * config.n_experts);
  matmul(kernels, weights.router, x.as(weights.router.row_format, {}), scratch.logits.data(),
         config.n_experts, false, team);
  const Routing& routing = scratch.routing;
  route(config, scratch.logits.data(), n_rows, scratch.routing);
  gather(config, kernels, x, scratch);

  // Calls fn(expert, its weights, where its rows begin, precision of its rows) for the experts that have any.
  const auto for_each_expert = [&](auto fn) {
    for (size_t e = 0; e < config.n_experts; ++e) {
      if (n_rows_of(routing, e) == 0) continue;
      const auto begin = routing.rows.begin() + routing.begin[e];
      const auto end = routing.rows.begin() + routing.begin[e + 1];
      const auto n_plain = static_cast<size_t>(std::lower_bound(begin, end, precision.n_plain) - begin);
      fn(weights.experts[e], scratch.inputs[e], routing.begin[e], Precision{n_plain, precision.of_prompt});
    }
  };
  const size_t n = routing.rows.size();
  scratch.gate.ensure(n * d_ff);
  scratch.up.ensure(n * d_ff);
  scratch.products.clear();
  for_each_expert([&](const Expert& expert, SharedInput& in, size_t at, Precision rows) {
    const PackedRows& for_gate = in.as(expert.gate.row_format, rows);
    const PackedRows& for_up = in.as(expert.up.row_format, rows);
    scratch.products.push_back({&expert.gate, &for_gate, scratch.gate.data() + at * d_ff, d_ff});
    scratch.products.push_back({&expert.up, &for_up, scratch.up.data() + at * d_ff, d_ff});
  });
  multiply(kernels, scratch.products, team);
  kernels.gated(config.activation, scratch.gate.data(), scratch.up.data(), n * d_ff);

  float* outputs = scratch.gathered.data();  // free: its rows have been multiplied already
  scratch.products.clear();
  for_each_expert([&](const Expert& expert, SharedInput& in, size_t at, Precision rows) {
    in.set(kernels, scratch.gate.data() + at * d_ff, in.n_rows(), d_ff);
    const PackedRows& gated = in.as(expert.down.row_format, rows);
    scratch.products.push_back({&expert.down, &gated, outputs + at * d_model, d_model});
  });
  multiply(kernels, scratch.products, team);

  // In the order of the experts, whatever rows there are: the sum of a row must not depend on its block.
  scratch.mixed.ensure(n_rows * d_model);
  std::fill_n(scratch.mixed.data(), n_rows * d_model, 0.0F);
  for (size_t i = 0; i < n; ++i) {
    kernels.add(scratch.mixed.data() + routing.rows[i] * d_model, outputs + i * d_model, routing.weights[i],
                d_model);
  }
  return scratch.mixed.data();
}

}  // namespace lazyfill
