// Queries of a stream's rows for its sinks. Keys stay as they were stored, turned by their own positions; to
// see a sink from its place within what is held, and not from its position, a row turns its query a second
// time.
#pragma once

#include <cstdint>
#include <vector>

#include "base/buffer.h"
#include "engine/row_set.h"
#include "engine/visibility.h"
#include "kernels/kernels.h"

namespace lazyfill {

class SinkQueries {
 public:
  SinkQueries(const ModelConfig& config, const Kernels& kernels, StreamShape stream)
      : config_(config), kernels_(kernels), stream_(stream), angles_(config.ropes.size()) {}

  // Of the sequence's rows from its row `first` on, which stand apart, at a layer with this rope:
  // [rows - first, q_dim]. Counts until the next call.
  const float* turn(const RowSet& rows, size_t sequence, size_t first, size_t rope);

 private:
  // The layers of a rope have the same rows more often than not.
  struct Angles {
    std::vector<int32_t> turns;  // [rows]
    Buffer<float> values;        // [rows, rope_dim]
  };

  const ModelConfig& config_;
  const Kernels& kernels_;
  StreamShape stream_;
  std::vector<Angles> angles_;  // by rope
  Buffer<float> q_;
};

}  // namespace lazyfill
