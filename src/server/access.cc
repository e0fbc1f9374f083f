#include "server/access.h"

#include <algorithm>
#include <cctype>
#include <utility>

namespace lazyfill::server {
namespace {

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), [](unsigned char c) { return std::tolower(c); });
  return out;
}

// "[::1]:8080" is "[::1]".
std::string without_port(std::string_view host) {
  const size_t end = host.find_last_of(':');
  if (end == std::string_view::npos || host.find(']', end) != std::string_view::npos) return lower(host);
  return lower(host.substr(0, end));
}

// Of "Basic dXNlcjprZXk=" what stands behind the user's name.
std::optional<std::string> basic_password(std::string_view encoded) {
  std::string decoded;
  unsigned bits = 0;
  int n_bits = 0;
  for (const char c : encoded) {
    constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    if (c == '=') break;
    const size_t digit = kDigits.find(c);
    if (digit == std::string_view::npos) return std::nullopt;
    bits = (bits << 6 | static_cast<unsigned>(digit)) & 0xFFFF;
    n_bits += 6;
    if (n_bits < 8) continue;
    n_bits -= 8;
    decoded += static_cast<char>(bits >> n_bits & 0xFF);
  }
  const size_t colon = decoded.find(':');
  if (colon == std::string::npos) return std::nullopt;
  return decoded.substr(colon + 1);
}

ApiError refusal(int status, std::string type, std::string message) {
  ApiError error;
  error.status = status;
  error.type = std::move(type);
  error.message = std::move(message);
  return error;
}

}  // namespace

bool same_secret(std::string_view given, std::string_view secret) {
  unsigned char differs = given.size() == secret.size() ? 0 : 1;
  for (size_t i = 0; i < given.size(); ++i) {
    const char expected = secret.empty() ? '\0' : secret[i % secret.size()];
    differs |= static_cast<unsigned char>(given[i] ^ expected);
  }
  return differs == 0;
}

bool Access::has_key(const HttpRequest& head) const {
  if (options_.api_keys.empty()) return true;
  std::string given;
  if (const std::string* key = head.header("X-Api-Key")) {
    given = *key;
  } else if (const std::string* authorization = head.header("Authorization")) {
    const std::string scheme = lower(std::string_view(*authorization).substr(0, 7));
    if (scheme == "bearer ") given = authorization->substr(7);
    // What a browser sends once it has asked its user: so the page works with a key as well.
    if (scheme.starts_with("basic "))
      given = basic_password(std::string_view(*authorization).substr(6)).value_or("");
  }
  bool is_known = false;  // every key is compared, so that the time does not tell which one it was
  for (const std::string& key : options_.api_keys) is_known = same_secret(given, key) || is_known;
  return is_known;
}

// A name that a stranger's DNS lets point to this machine must not open it to the stranger's page.
bool Access::knows_host(const HttpRequest& head) const {
  if (head.peer == "unix" || (!options_.is_loopback && options_.hosts.empty())) return true;
  const std::string* given = head.header("Host");
  if (given == nullptr) return true;  // HTTP/1.0: no browser
  const std::string name = without_port(*given);
  if (name == lower(options_.host)) return true;
  for (const char* own : {"localhost", "127.0.0.1", "[::1]"})
    if (name == own) return true;
  return std::any_of(options_.hosts.begin(), options_.hosts.end(),
                     [&](const std::string& host) { return lower(host) == name; });
}

bool Access::may_ask_from(const HttpRequest& head) const {
  const std::string* origin = head.header("Origin");
  if (origin == nullptr) return true;
  if (std::find(options_.origins.begin(), options_.origins.end(), *origin) != options_.origins.end())
    return true;
  const std::string* host = head.header("Host");
  return host != nullptr &&
         (lower(*origin) == "http://" + lower(*host) || lower(*origin) == "https://" + lower(*host));
}

std::optional<ApiError> Access::refuse(const HttpRequest& head, bool needs_key) const {
  if (!knows_host(head)) {
    return refusal(403, "permission_error",
                   "the request names a host that this server is not; start it with --allow-host if it is");
  }
  if (!may_ask_from(head)) {
    return refusal(403, "permission_error",
                   "a web page of another origin asked; start the server with --cors-origin to let it");
  }
  if (needs_key && !has_key(head)) {
    return refusal(401, "authentication_error",
                   "the API key is missing or wrong; send it as \"Authorization: Bearer KEY\"");
  }
  return std::nullopt;
}

std::vector<Header> Access::cors_headers(const HttpRequest& head) const {
  const std::string* origin = head.header("Origin");
  if (origin == nullptr) return {};
  const auto known = std::find(options_.origins.begin(), options_.origins.end(), *origin);
  if (known == options_.origins.end()) return {};
  return {{"Access-Control-Allow-Origin", *known},
          {"Vary", "Origin"},
          {"Access-Control-Allow-Methods", "GET, POST, OPTIONS"},
          {"Access-Control-Allow-Headers",
           "Authorization, Content-Type, X-Api-Key, anthropic-version, anthropic-beta"},
          {"Access-Control-Max-Age", "600"}};
}

}  // namespace lazyfill::server
