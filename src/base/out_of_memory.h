// Where memory that is not there becomes an error value.
#pragma once

#include <new>
#include <stdexcept>
#include <utility>

#include "lazyfill/error.h"

namespace lazyfill {

// Runs `body`, which returns a Result. Where memory ends, its error has the words of `sentence()`, or a few
// that need no memory themselves.
template <class Body, class Sentence>
auto guard_memory(Body&& body, Sentence&& sentence) -> decltype(body()) {
  try {
    return std::forward<Body>(body)();
  } catch (const std::bad_alloc&) {
  } catch (const std::length_error&) {  // more elements than any memory has
  }
  try {
    return fail(ErrorCode::kOutOfMemory, std::forward<Sentence>(sentence)());
  } catch (const std::bad_alloc&) {
  }
  return fail(ErrorCode::kOutOfMemory, "out of memory");  // so short that the string holds it itself
}

}  // namespace lazyfill
