#include <algorithm>
#include <cctype>

#include "cli/http.h"

namespace lazyfill::cli {

std::string origin_of(std::string_view url) {
  const size_t scheme_end = url.find("://");
  if (scheme_end == std::string_view::npos) return {};
  const size_t host = scheme_end + 3;
  std::string origin(url.substr(0, std::min(url.find_first_of("/?#\\", host), url.size())));
  for (char& c : origin) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return origin;
}

// <https://host/path?cursor=x>; rel="next"
std::string next_link(std::string_view header) {
  for (size_t at = header.find('<'); at != std::string_view::npos; at = header.find('<', at + 1)) {
    const size_t end = header.find('>', at);
    if (end == std::string_view::npos) return {};
    const std::string_view rest = header.substr(end + 1, header.find('<', end) - end - 1);
    if (rest.find("rel=\"next\"") != std::string_view::npos)
      return std::string(header.substr(at + 1, end - at - 1));
  }
  return {};
}

}  // namespace lazyfill::cli
