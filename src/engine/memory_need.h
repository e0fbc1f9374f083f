// What admission reserves for a request.
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/engine_impl.h"

namespace lazyfill {

// Room for columns, states, what a prompt computes with and the logits of a step's rows. leaves_states: those
// that enter the choosing layer are kept for others.
uint64_t needed_bytes(const Engine::Impl& engine, size_t n_prompt, size_t capacity_tokens, bool leaves_states,
                      size_t n_step_rows);

}  // namespace lazyfill
