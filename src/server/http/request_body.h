// A request's body as it arrives, by length or in chunks.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "server/http/request_head.h"

namespace lazyfill::server {

// Boost.Beast's reader of chunks keeps lines of any length; this one counts every byte that is not body.
class BodyReader {
 public:
  BodyReader(bool is_chunked, uint64_t content_length, size_t max_bytes);

  // Takes what belongs to the body from the front of `in`: the number of bytes that it took.
  Accepted<size_t> take(std::string_view in);
  bool is_done() const { return state_ == State::kDone; }
  std::string& body() { return body_; }

 private:
  enum class State {
    kData,
    kSize,
    kExtension,
    kSizeEnd,
    kDataEnd,
    kDataEndLf,
    kTrailer,
    kTrailerLine,
    kTrailerLf,
    kEndLf,
    kDone
  };

  std::optional<Refusal> take_framing(char c);
  std::optional<Refusal> take_size(char c);
  std::optional<Refusal> take_trailer(char c);

  State state_;
  const bool is_chunked_;
  const size_t max_bytes_;
  uint64_t n_left_ = 0;  // of the body, or of the chunk
  size_t n_digits_ = 0;
  size_t n_line_bytes_ = 0;   // of the extension at hand
  size_t n_extra_bytes_ = 0;  // of all extensions and trailers
  std::string body_;
};

}  // namespace lazyfill::server
