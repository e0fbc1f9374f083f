// The head of a request: found in what arrives, then read strictly. What Boost.Beast's parser would forgive
// or leave to others (how the body is framed, which headers may come twice) is refused here.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "server/http/refusal.h"

namespace lazyfill::server {

template <class T>
using Accepted = tl::expected<T, Refusal>;

// Looks for the blank line that ends a head and refuses at once what can never become one: control
// characters, line ends other than CR LF, folded lines.
class HeadScanner {
 public:
  // `in` begins with the request and has grown since the last call. The size of the head with its blank line,
  // once that is there; 2 is a blank line in front of a request.
  Accepted<std::optional<size_t>> scan(std::string_view in);
  void reset() { *this = {}; }

 private:
  size_t position_ = 0;
  size_t line_ = 0;  // where the line at position_ begins
};

struct RequestHead {
  HttpRequest request;  // without body and peer
  bool is_http10 = false;
  bool keeps_alive = true;
  bool is_chunked = false;
  bool expects_continue = false;
  uint64_t content_length = 0;  // of a body that is not chunked

  bool has_body() const { return is_chunked || content_length > 0; }
};

Accepted<RequestHead> parse_head(std::string_view head, size_t max_headers);

}  // namespace lazyfill::server
