#include "engine/sink_queries.h"

#include <algorithm>

#include "model/rope_angles.h"

namespace lazyfill {

const float* SinkQueries::turn(const RowSet& rows, size_t sequence, size_t first, size_t rope) {
  const size_t n_rows = rows.n_of(sequence) - first;
  const size_t q_dim = config_.q_dim();
  std::vector<int32_t> turns(n_rows);
  q_.ensure(n_rows * q_dim);
  uint32_t context_tokens = 0;
  for (size_t i = 0; i < n_rows; ++i) {
    const size_t row = rows.row_of(sequence, first + i);
    turns[i] = stream_.place_apart() - rows.rows()[row].position;
    context_tokens = rows.rows()[row].context_tokens;
    std::copy_n(rows.q_of(row), q_dim, q_.data() + i * q_dim);
  }
  Angles& angles = angles_[rope];
  if (angles.turns != turns) {
    angles.values.ensure(n_rows * config_.rope_dim);
    turn_angles(config_.ropes[rope], turns, context_tokens, angles.values.data());
    angles.turns = std::move(turns);
  }
  kernels_.rope({config_.n_heads, config_.head_dim, config_.rope_dim, config_.rope_neox}, q_.data(),
                angles.values.data(), n_rows);
  return q_.data();
}

}  // namespace lazyfill
