#include "cache/cache_part.h"

namespace lazyfill {

uint64_t CachePart::bytes() const {
  uint64_t total = sizeof(CachePart) + entered.size_bytes();
  for (const Layer& layer : layers) {
    total += sizeof(Layer) + layer.columns.size_bytes() + layer.states.size_bytes() +
             (layer.tokens.size() + layer.left.size()) * sizeof(TokenIndex);
  }
  return total;
}

}  // namespace lazyfill
