#include "server/http/request_body.h"

#include <algorithm>

namespace lazyfill::server {
namespace {

constexpr size_t kMaxExtensionBytes = 256;  // of one chunk
constexpr size_t kMaxExtraBytes = 4096;     // of all extensions and trailers of a body
constexpr size_t kMaxDigits = 15;           // cannot overflow 64 bits

constexpr Refusal kBadChunk{400, "The chunks of the body are malformed."};
constexpr Refusal kTooLarge{413, "The body is larger than this server takes."};
constexpr Refusal kTooMuchExtra{400, "The chunks of the body have too many extensions or trailers."};

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool is_control(char c) {
  return (static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7f;
}

}  // namespace

BodyReader::BodyReader(bool is_chunked, uint64_t content_length, size_t max_bytes)
    : state_(is_chunked ? State::kSize : State::kData), is_chunked_(is_chunked), max_bytes_(max_bytes) {
  if (is_chunked) return;
  n_left_ = content_length;
  if (n_left_ == 0) state_ = State::kDone;
}

Accepted<size_t> BodyReader::take(std::string_view in) {
  if (!is_chunked_ && n_left_ > max_bytes_) return tl::unexpected(kTooLarge);
  size_t n_taken = 0;
  while (n_taken < in.size() && state_ != State::kDone) {
    if (state_ != State::kData) {
      if (const auto refusal = take_framing(in[n_taken])) return tl::unexpected(*refusal);
      ++n_taken;
      continue;
    }
    const size_t n = std::min<uint64_t>(n_left_, in.size() - n_taken);
    body_.append(in.substr(n_taken, n));
    n_taken += n;
    n_left_ -= n;
    if (n_left_ == 0) state_ = is_chunked_ ? State::kDataEnd : State::kDone;
  }
  return n_taken;
}

std::optional<Refusal> BodyReader::take_framing(char c) {
  const auto expect = [&](char wanted, State next) -> std::optional<Refusal> {
    if (c != wanted) return kBadChunk;
    state_ = next;
    return std::nullopt;
  };
  switch (state_) {
    case State::kSize:
    case State::kExtension:
      return take_size(c);
    case State::kSizeEnd: {
      const bool is_last = n_left_ == 0;
      n_digits_ = n_line_bytes_ = 0;
      return expect('\n', is_last ? State::kTrailer : State::kData);
    }
    case State::kDataEnd:
      return expect('\r', State::kDataEndLf);
    case State::kDataEndLf:
      return expect('\n', State::kSize);
    case State::kTrailerLf:
      return expect('\n', State::kTrailer);
    case State::kEndLf:
      return expect('\n', State::kDone);
    default:
      return take_trailer(c);
  }
}

// A size in hexadecimal digits, perhaps with an extension, which nobody reads.
std::optional<Refusal> BodyReader::take_size(char c) {
  if (c == '\r') {
    if (n_digits_ == 0) return kBadChunk;
    if (n_left_ > max_bytes_ - body_.size()) return kTooLarge;
    state_ = State::kSizeEnd;
    return std::nullopt;
  }
  if (state_ == State::kSize && hex_digit(c) >= 0) {
    if (++n_digits_ > kMaxDigits) return kBadChunk;
    n_left_ = n_left_ * 16 + static_cast<uint64_t>(hex_digit(c));
    return std::nullopt;
  }
  if (n_digits_ == 0 || is_control(c) || (state_ == State::kSize && c != ';')) return kBadChunk;
  state_ = State::kExtension;
  if (++n_line_bytes_ > kMaxExtensionBytes || ++n_extra_bytes_ > kMaxExtraBytes) return kTooMuchExtra;
  return std::nullopt;
}

// Trailers are read to their end and dropped: nothing that comes after the body may add to the headers.
std::optional<Refusal> BodyReader::take_trailer(char c) {
  if (c == '\r') {
    state_ = state_ == State::kTrailer ? State::kEndLf : State::kTrailerLf;
    return std::nullopt;
  }
  const bool is_folded = state_ == State::kTrailer && (c == ' ' || c == '\t');
  if (is_control(c) || is_folded) return kBadChunk;
  state_ = State::kTrailerLine;
  if (++n_extra_bytes_ > kMaxExtraBytes) return kTooMuchExtra;
  return std::nullopt;
}

}  // namespace lazyfill::server
