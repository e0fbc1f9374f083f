// What an answer tells of how it was computed, the same in every API: times, tokens found in the cache, and
// what was kept of the prompt at each layer.
#pragma once

#include "lazyfill/engine.h"
#include "server/api/answer_request.h"

namespace lazyfill::server {

// All of it, as members of an answer or of the last event of a stream; and llama-server's words for why it
// ended: stop_type (eos, limit, word) and stopping_word.
void add_report(Json& object, const Engine& engine, const Generation& generation, bool with_kept);
// llama-server's names, and ttft_ms, queue_ms.
Json timings_json(const Generation& generation);
// Null for a dense prefill. with_kept: also which tokens each stage kept, and the prompt's tokens as texts.
Json lazy_json(const Engine& engine, const Generation& generation, bool with_kept);
// llama-server's fields (total, cache, processed, time_ms), and where the prefill is.
Json progress_json(const PrefillProgress& progress);

// OpenAI's word: stop, length, tool_calls.
const char* finish_reason(const Choice& choice);

}  // namespace lazyfill::server
