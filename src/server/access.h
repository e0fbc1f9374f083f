// Who may ask: keys, and what keeps strangers' web pages from asking through a visitor's browser.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "server/api/error.h"
#include "server/http/http.h"

namespace lazyfill::server {

struct AccessOptions {
  std::vector<std::string> api_keys;  // none: everybody may
  std::vector<std::string> origins;   // of web pages elsewhere that may ask: "https://example.org"
  std::vector<std::string> hosts;     // further names that the server goes by
  std::string host;                   // that it listens at; a Unix socket has none
  bool is_loopback = true;            // then only names of this machine are taken for it
};

class Access {
 public:
  explicit Access(AccessOptions options) : options_(std::move(options)) {}

  // Why this request is refused: 401 without a key, 403 from a page or under a name that is not ours.
  std::optional<ApiError> refuse(const HttpRequest& head, bool needs_key) const;
  // The headers that let a page elsewhere read the answer; none for others.
  std::vector<Header> cors_headers(const HttpRequest& head) const;

 private:
  bool has_key(const HttpRequest& head) const;
  bool knows_host(const HttpRequest& head) const;
  bool may_ask_from(const HttpRequest& head) const;

  const AccessOptions options_;
};

// In a time that depends on the length of `given` alone.
bool same_secret(std::string_view given, std::string_view secret);

}  // namespace lazyfill::server
