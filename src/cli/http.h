// One request to a server, through libcurl; only in builds that have it.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace lazyfill::cli {

struct HttpRequest {
  std::string url;
  std::string bearer;  // a token for the server of `url`; never sent to another one
  uint64_t offset =
      0;  // the first byte that is wanted; where the server gives all, the status is 200, not 206
  // A piece of the body of an answer with status 200 or 206; false ends the transfer.
  std::function<bool(long status, std::string_view bytes)> take;
};

struct HttpReply {
  long status = 0;            // 0: there was none
  std::string problem;        // what broke the transfer; empty: it is whole
  bool may_pass = false;      // of a problem: trying again may help
  bool taken = true;          // false: take() gave false
  std::string next_page;      // of a list that goes on: the address in the Link header
  uint64_t wait_s = 0;        // Retry-After, where it is a number
  std::string error_code;     // X-Error-Code, in which a hub of models says what is the matter
  bool is_elsewhere = false;  // it came from a server that the first one redirected to
};

// Follows redirections, to http and https only, and from https to https only.
HttpReply http_get(const HttpRequest& request);

// Exposed for tests: scheme, host and port, all that decides whether a token may go there; and the next page
// of a Link header.
std::string origin_of(std::string_view url);
std::string next_link(std::string_view header);

}  // namespace lazyfill::cli
