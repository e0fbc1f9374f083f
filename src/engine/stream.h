// Streams: sessions whose text may be longer than what they hold (docs/streaming.md).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "cache/sequence_cache.h"
#include "engine/engine_impl.h"

namespace lazyfill {

// What a stream holds at a time must fit into context_tokens, and columns leave by their age alone.
Result<void> check_stream(const Engine::Impl& engine, const StreamOptions& stream, const LazyOptions& lazy,
                          size_t context_tokens);
// Drafts do not work in a stream.
Result<void> check_drafts(const GenerateOptions& options, bool is_stream);
// Sinks and window, and room for the rows of a step: a longer prompt is read in pieces.
SequenceCache::Shape stream_shape(const Engine::Impl& engine, const StreamOptions& stream);
// How many tokens the next step can take, once what nobody sees any more is forgotten.
size_t stream_room(const SequenceCache& cache);
void forget_unseen(SequenceCache& cache);

// Tokens at the beginning of a text that are not kept, but known when they are seen again.
class TokensLetGo {
 public:
  size_t size() const { return n_; }
  void add(std::span<const int32_t> tokens);
  bool begin(std::span<const int32_t> text) const;

 private:
  size_t n_ = 0;
  uint64_t hash_ = 0;
};

}  // namespace lazyfill
