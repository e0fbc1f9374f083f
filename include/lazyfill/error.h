// Errors as values: every function that can fail on outside input returns Result<T>.
#pragma once

#include <string>
#include <tl/expected.hpp>

namespace lazyfill {

enum class ErrorCode {
  kInvalidArgument,  // the caller or the command line asked for something that cannot be
  kInvalidFile,      // a file is not what it claims to be
  kUnsupported,      // valid, but this build cannot do it
  kNotFound,         // a file that does not exist or cannot be read
  kContextExceeded,  // more tokens than the context holds
  kOutOfMemory,
  kCancelled,  // the caller's stop token fired
  kBusy,       // too much is waiting already; the same may do later
};

// One sentence a person can act on; never contains raw bytes of the input.
struct Error {
  ErrorCode code = ErrorCode::kInvalidArgument;
  std::string message;
};

template <class T>
using Result = tl::expected<T, Error>;

inline tl::unexpected<Error> fail(ErrorCode code, std::string message) {
  return tl::unexpected<Error>(Error{code, std::move(message)});
}

}  // namespace lazyfill
