// What some tokens of a sequence hold in some of its layers, compact and never changed: what is kept of a
// sequence that has ended, so that others may begin with it.
#pragma once

#include <cstdint>
#include <vector>

#include "base/buffer.h"
#include "cache/token_ring.h"

namespace lazyfill {

struct CachePart {
  struct Layer {
    std::vector<TokenIndex> tokens;  // that have a column, ascending
    Buffer<std::byte> columns;       // [2 (keys, values), n_kv_heads, tokens, bytes of a head]
    std::vector<TokenIndex> left;    // whose states are in the Aux Cache, ascending
    Buffer<float> states;            // [left, d_model]
  };

  TokenIndex begin = 0;  // tokens
  TokenIndex end = 0;
  size_t first_layer = 0;
  std::vector<Layer> layers;  // from first_layer on
  // Of all the tokens, at the last of these layers: the states that entered it; else empty.
  Buffer<float> entered;  // [end - begin, d_model]

  size_t end_layer() const { return first_layer + layers.size(); }
  uint64_t bytes() const;
};

}  // namespace lazyfill
