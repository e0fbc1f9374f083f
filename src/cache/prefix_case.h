// Small sequences whose columns and states tell who they are, for tests of what is kept of them.
#pragma once

#include <cstdint>
#include <vector>

#include "cache/prefix_store.h"

namespace lazyfill {

inline constexpr size_t kLayers = 4;
inline constexpr size_t kModel = 8;
inline const SequenceCache::Shape kShape{
    .n_layers = kLayers, .n_kv_heads = 2, .head_dim = 4, .d_model = kModel, .capacity_tokens = 1000};
inline const PrefixPlan kDense{"dense", kLayers};
inline const PrefixPlan kLazy{"1:0.5 focus", 1};
inline const PrefixPlan kOther{"1:0.4 focus", 1};

inline std::vector<int32_t> tokens_of(size_t n, int32_t first = 0) {
  std::vector<int32_t> tokens(n);
  for (size_t i = 0; i < n; ++i) tokens[i] = first + static_cast<int32_t>(i);
  return tokens;
}

inline std::vector<int32_t> joined(std::vector<int32_t> a, const std::vector<int32_t>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

// Gives tokens columns and states that tell who they are: all layers where dense, else of every other token.
inline void compute(SequenceCache& cache, size_t end, size_t n_dense) {
  cache.begin_step();
  const size_t begin = cache.n_tokens();
  for (size_t token = begin; token < end; ++token) {
    const auto index = static_cast<TokenIndex>(token);
    std::vector<float> state(kModel, static_cast<float>(token));
    for (size_t layer = 0; layer < kLayers; ++layer) {
      const bool is_dropped = layer > 1 && token >= n_dense && token % 2 == 1;
      if (is_dropped) continue;
      std::vector<int32_t> slots;
      const auto slot = static_cast<size_t>(cache.columns(layer).append({&index, 1}, slots).first);
      auto* keys = reinterpret_cast<float*>(cache.columns(layer).keys());
      keys[slot * 4] = static_cast<float>(1000 * layer + token);
    }
    if (cache.entered_layer()) cache.put_entered(index, state.data());
    if (token >= n_dense && token % 2 == 1) cache.aux(1).put(index, state.data());
  }
  cache.commit_step(end - begin);
}

inline float key_of(const SequenceCache& cache, size_t layer, size_t token) {
  LayerColumns& columns = const_cast<SequenceCache&>(cache).columns(layer);
  const int32_t slot = columns.slot_of(static_cast<TokenIndex>(token));
  return reinterpret_cast<const float*>(columns.keys())[static_cast<size_t>(slot) * 4];
}

}  // namespace lazyfill
