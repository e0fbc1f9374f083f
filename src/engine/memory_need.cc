#include "engine/memory_need.h"

namespace lazyfill {

uint64_t needed_bytes(const Engine::Impl& engine, size_t n_prompt, size_t capacity_tokens, bool leaves_states,
                      size_t n_step_rows) {
  const ModelConfig& c = engine.model.config;
  const SequenceCache::Shape shape = engine.cache_shape(1);
  // In each layer a column and its place in the tables; and one state, for a token leaves at one layer only.
  const uint64_t column =
      2 * c.n_kv_heads * column_bytes(shape.column_type, c.head_dim) + 3 * sizeof(int32_t);
  const uint64_t held =
      c.n_layers * column + (leaves_states ? 2 : 1) * c.d_model * sizeof(float) + 3 * sizeof(int32_t);
  // Of a row: its state, query and angles, its own columns in full and as the layer packs them.
  const uint64_t computed =
      (c.d_model + c.q_dim() + c.ropes.size() * c.rope_dim + 4 * c.kv_dim()) * sizeof(float);
  // A session's own logits, and those of all rows where there are several.
  const uint64_t n_logits = n_step_rows > 1 ? 1 + n_step_rows : 1;
  return capacity_tokens * held + n_prompt * computed + n_logits * c.n_vocab * sizeof(float);
}

}  // namespace lazyfill
