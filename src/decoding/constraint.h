// What an answer may say next: the one idea of which regular expressions, choices, JSON Schemas and grammars
// are forms.
#pragma once

#include <cstddef>
#include <cstdint>

#include "decoding/token_mask.h"

namespace lazyfill {

class Constraint {
 public:
  virtual ~Constraint() = default;

  // Whether this token may be the next one, and the answer can still be ended well after it. Of tokens that
  // end an answer: whether it may end here.
  virtual bool allows(int32_t token) = 0;
  // All tokens that may be next, by their texts alone: allows() may refuse some of them for other reasons.
  // Without tokens that end an answer. Valid until the next call.
  virtual const TokenMask& mask() = 0;
  // The answer goes on with this token, which is allowed. Of an end token nothing is noted.
  virtual void accept(int32_t token) = 0;
  // Takes the last n accepted tokens back.
  virtual void rewind(size_t n) = 0;
  // Whether the answer may end here; whether it can do nothing else.
  virtual bool may_end() = 0;
  virtual bool must_end() = 0;
  // A token that is surely allowed, or -1: none is known.
  virtual int32_t known_next() = 0;
  virtual size_t n_accepted() const = 0;
};

}  // namespace lazyfill
