// Who guesses the next tokens of a text. What a guess may hope for is learned from what the model then chose,
// also in steps without drafts.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "decoding/draft_memory.h"
#include "decoding/draft_tree.h"

namespace lazyfill {

class Drafter {
 public:
  virtual ~Drafter() = default;
  // What comes before an answer; in a conversation all of it.
  virtual void read(std::span<const int32_t> prompt) = 0;
  // Guesses behind a text of one token at least.
  virtual DraftTree propose(std::span<const int32_t> text) = 0;
  // The model has chosen the last token of the text behind the others.
  virtual void chose(std::span<const int32_t> text) = 0;
  // What a row of a step said, accepted or not: the likeliest tokens behind its own, likeliest first, of
  // which it wants to know so many. A row is seen after what was chosen in its step.
  virtual size_t wants_likeliest() const { return 0; }
  virtual void saw(int32_t /*token*/, std::span<const int32_t> /*likeliest*/) {}
};

// Token Recycling; what it learns stays in the memory, for answers to come.
std::unique_ptr<Drafter> make_recycler(std::shared_ptr<DraftMemory> memory);
// What followed where the last tokens stood before in the text.
std::unique_ptr<Drafter> make_lookup();

}  // namespace lazyfill
