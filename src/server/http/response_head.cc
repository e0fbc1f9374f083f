#include "server/http/response_head.h"

#include <algorithm>
#include <array>
#include <boost/beast/core/string.hpp>
#include <boost/beast/http/status.hpp>
#include <ctime>

#include "server/http/refusal.h"

namespace lazyfill::server {
namespace {

namespace beast = boost::beast;

bool is_token(std::string_view text) {
  constexpr std::string_view kOthers = "!#$%&'*+-.^_`|~";
  const auto is_token_char = [&](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           kOthers.find(c) != kOthers.npos;
  };
  return !text.empty() && std::all_of(text.begin(), text.end(), is_token_char);
}

bool is_value(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) >= 0x20 || c == '\t') && c != 0x7f;
  });
}

// In the form that HTTP wants, whatever the program's locale is: Sun, 06 Nov 1994 08:49:37 GMT.
std::string date() {
  constexpr std::array<const char*, 7> kDays = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  constexpr std::array<const char*, 12> kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                   "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  gmtime_r(&now, &utc);
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%s, %02d %s %04d %02d:%02d:%02d GMT",
                kDays.at(static_cast<size_t>(utc.tm_wday)), utc.tm_mday,
                kMonths.at(static_cast<size_t>(utc.tm_mon)), utc.tm_year + 1900, utc.tm_hour, utc.tm_min,
                utc.tm_sec);
  return text.data();
}

const char* error_code(int status) {
  switch (status) {
    case 408:
      return "timeout";
    case 413:
      return "body_too_large";
    case 415:
      return "unsupported_encoding";
    case 431:
      return "headers_too_large";
    case 503:
      return "overloaded";
    default:
      return status < 500 ? "bad_request" : status == 500 ? "internal_error" : "not_supported";
  }
}

}  // namespace

HttpResponse to_response(const Refusal& refusal) {
  HttpResponse response;
  response.status = refusal.status;
  // In OpenAI's form and in Anthropic's at once: nothing here knows whose path it is.
  response.body = std::string(R"({"type":"error","error":{"message":")") + refusal.message + R"(","type":")" +
                  (refusal.status < 500 ? "invalid_request_error" : "server_error") + R"(","code":")" +
                  error_code(refusal.status) + "\"}}\n";
  return response;
}

bool are_valid(const std::vector<Header>& headers, const std::string& content_type, int status) {
  constexpr std::string_view kOurs[] = {"Content-Length", "Transfer-Encoding", "Connection", "Content-Type",
                                        "Date"};
  const auto is_valid = [&](const Header& header) {
    return is_token(header.name) && is_value(header.value) &&
           std::none_of(std::begin(kOurs), std::end(kOurs), [&](std::string_view name) {
             return beast::iequals({name.data(), name.size()}, header.name);
           });
  };
  return status >= 200 && status <= 599 && is_value(content_type) &&
         std::all_of(headers.begin(), headers.end(), is_valid);
}

std::string to_text(const ResponseHead& head) {
  const auto reason = beast::http::obsolete_reason(static_cast<beast::http::status>(head.status));
  std::string text = "HTTP/1.1 " + std::to_string(head.status) + ' ' + std::string(reason) + "\r\n";
  const auto add = [&](std::string_view name, std::string_view value) {
    text.append(name).append(": ").append(value).append("\r\n");
  };
  add("Date", date());
  add("X-Content-Type-Options", "nosniff");
  if (!head.content_type.empty()) add("Content-Type", head.content_type);
  for (const Header& header : head.headers) add(header.name, header.value);
  const bool has_no_body = head.status == 204 || head.status == 304;
  if (!has_no_body) {
    if (head.content_length) {
      add("Content-Length", std::to_string(*head.content_length));
    } else if (!head.is_http10) {
      add("Transfer-Encoding", "chunked");
    }
  }
  if (!head.keeps_alive) {
    add("Connection", "close");
  } else if (head.is_http10) {
    add("Connection", "keep-alive");
  }
  return text + "\r\n";
}

}  // namespace lazyfill::server
