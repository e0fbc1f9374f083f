// The first lines of an answer.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "server/http/http.h"

namespace lazyfill::server {

struct ResponseHead {
  int status = 200;
  std::string content_type;
  std::vector<Header> headers;
  std::optional<size_t> content_length;  // of the body; without one the body is a stream
  bool keeps_alive = true;
  bool is_http10 = false;
};

// False: a name or a value would break out of its line, or claims how the body is framed.
bool are_valid(const std::vector<Header>& headers, const std::string& content_type, int status);
std::string to_text(const ResponseHead& head);

}  // namespace lazyfill::server
