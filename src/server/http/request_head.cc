#include "server/http/request_head.h"

#include <algorithm>
#include <array>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/rfc7230.hpp>
#include <boost/optional.hpp>
#include <charconv>

namespace lazyfill::server {
namespace {

namespace beast = boost::beast;
namespace http = boost::beast::http;

constexpr Refusal kBadHead{400, "The head of the request is malformed."};
constexpr Refusal kBadTarget{400, "The target of the request is malformed."};
constexpr Refusal kBadFraming{400, "The request does not say clearly how long its body is."};
constexpr std::string_view kMethods[] = {"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"};
// Where two of a kind would let two readers of one request understand different things.
constexpr std::string_view kOnlyOnce[] = {"Host",         "Content-Length", "Transfer-Encoding",
                                          "Content-Type", "Authorization",  "X-Api-Key",
                                          "Origin",       "Expect"};

bool equal_in_any_case(std::string_view a, std::string_view b) {
  return beast::iequals({a.data(), a.size()}, {b.data(), b.size()});
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// METHOD SP target SP HTTP/1.x, split at the only two spaces that may be there.
struct RequestLine {
  std::string_view method, target, version;
};

Accepted<RequestLine> split_request_line(std::string_view line) {
  const size_t first = line.find(' ');
  const size_t last = line.rfind(' ');
  if (first == line.npos || first == last) return tl::unexpected(kBadHead);
  const RequestLine result{line.substr(0, first), line.substr(first + 1, last - first - 1),
                           line.substr(last + 1)};
  const std::string_view v = result.version;
  if (v.size() != 8 || !v.starts_with("HTTP/") || !is_digit(v[5]) || v[6] != '.' || !is_digit(v[7])) {
    return tl::unexpected(kBadHead);
  }
  const auto is_printable = [](char c) { return c > ' ' && c < 0x7f; };
  if (!std::all_of(result.target.begin(), result.target.end(), is_printable))
    return tl::unexpected(kBadTarget);
  if (v != "HTTP/1.1" && v != "HTTP/1.0") return tl::unexpected(Refusal{505, "This server speaks HTTP/1.1."});
  if (std::find(std::begin(kMethods), std::end(kMethods), result.method) == std::end(kMethods)) {
    return tl::unexpected(Refusal{501, "This server does not know the request's method."});
  }
  return result;
}

std::optional<std::string> percent_decoded(std::string_view text) {
  std::string decoded;
  for (size_t i = 0; i < text.size(); ++i) {
    unsigned char c = static_cast<unsigned char>(text[i]);
    if (c == '%') {
      const char* const digits = text.data() + i + 1;
      if (text.size() - i < 3 || std::from_chars(digits, digits + 2, c, 16).ptr != digits + 2)
        return std::nullopt;
      i += 2;
    }
    if (c < 0x20 || c == 0x7f) return std::nullopt;
    decoded.push_back(static_cast<char>(c));
  }
  return decoded;
}

// The forms that a server must know: /path?query, http://host/path?query, and * of OPTIONS. `authority` is
// that of the second form.
std::optional<Refusal> read_target(std::string_view target, HttpRequest& request,
                                   std::string_view& authority) {
  if (target == "*" && request.method == "OPTIONS") {
    request.path = target;
    return std::nullopt;
  }
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (target.size() < scheme.size() || !equal_in_any_case(target.substr(0, scheme.size()), scheme))
      continue;
    target.remove_prefix(scheme.size());
    authority = target.substr(0, target.find_first_of("/?"));
    target.remove_prefix(authority.size());
    if (authority.empty()) return kBadTarget;
    if (target.empty()) target = "/";
    break;
  }
  if (target.empty() || target[0] != '/' || target.find('#') != target.npos) return kBadTarget;
  const size_t mark = target.find('?');
  auto path = percent_decoded(target.substr(0, mark));
  if (!path) return kBadTarget;
  request.path = std::move(*path);
  if (mark != target.npos) request.query = target.substr(mark + 1);
  return std::nullopt;
}

bool is_host(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           std::string_view(".-_:[]%~").find(c) != std::string_view::npos;
  });
}

std::optional<Refusal> check_host(const RequestHead& head, std::string_view authority) {
  constexpr Refusal kBadHost{400, "The request needs one valid Host header."};
  const std::string* host = head.request.header("Host");
  if (!host) return head.is_http10 && authority.empty() ? std::nullopt : std::optional<Refusal>(kBadHost);
  if (!is_host(*host)) return kBadHost;
  // A stranger who names two hosts wants one of them to be checked and the other one to be used.
  if (!authority.empty() && !equal_in_any_case(authority, *host)) return kBadHost;
  return std::nullopt;
}

// How the body is framed: by one Content-Length or by one exact `chunked`, never by both.
std::optional<Refusal> read_framing(RequestHead& head) {
  const std::string* const encoding = head.request.header("Transfer-Encoding");
  const std::string* const length = head.request.header("Content-Length");
  if (encoding) {
    if (length || head.is_http10 || !equal_in_any_case(*encoding, "chunked")) return kBadFraming;
    head.is_chunked = true;
  }
  if (length) {
    const char* const end = length->data() + length->size();
    const auto [stop, error] = std::from_chars(length->data(), end, head.content_length);
    if (length->empty() || !is_digit((*length)[0]) || stop != end || error != std::errc()) return kBadFraming;
  }
  return std::nullopt;
}

std::optional<Refusal> read_other_headers(RequestHead& head) {
  for (const std::string_view name : kOnlyOnce) {
    const auto is_it = [&](const Header& h) { return equal_in_any_case(h.name, name); };
    if (std::count_if(head.request.headers.begin(), head.request.headers.end(), is_it) > 1) {
      return Refusal{400, "A header that may come once came twice."};
    }
  }
  for (const Header& header : head.request.headers) {
    if (equal_in_any_case(header.name, "Content-Encoding") && !equal_in_any_case(header.value, "identity")) {
      return Refusal{415, "This server takes bodies without Content-Encoding only."};
    }
  }
  if (const std::string* expect = head.request.header("Expect")) {
    if (!equal_in_any_case(*expect, "100-continue"))
      return Refusal{417, "This server knows no such expectation."};
    head.expects_continue = !head.is_http10;
  }
  return std::nullopt;
}

}  // namespace

Accepted<std::optional<size_t>> HeadScanner::scan(std::string_view in) {
  for (; position_ < in.size(); ++position_) {
    const auto c = static_cast<unsigned char>(in[position_]);
    const bool begins_line = position_ == line_;
    if (c == '\r') {
      if (position_ + 1 == in.size()) return std::nullopt;  // what follows is not there yet
      if (in[position_ + 1] != '\n') return tl::unexpected(kBadHead);
      if (begins_line) return position_ + 2;
      line_ = ++position_ + 1;
    } else if ((c < 0x20 && c != '\t') || c == 0x7f || (begins_line && (c == ' ' || c == '\t'))) {
      return tl::unexpected(kBadHead);
    }
  }
  return std::nullopt;
}

Accepted<RequestHead> parse_head(std::string_view text, size_t max_headers) {
  const auto line = split_request_line(text.substr(0, text.find("\r\n")));
  if (!line) return tl::unexpected(line.error());

  http::request_parser<http::empty_body> parser;
  parser.header_limit(static_cast<uint32_t>(std::min<size_t>(text.size() + 1, UINT32_MAX)));
  parser.body_limit(boost::none);
  beast::error_code error;
  parser.put({text.data(), text.size()}, error);
  if (!parser.is_header_done()) return tl::unexpected(kBadHead);
  const auto& message = parser.get();

  RequestHead head;
  head.is_http10 = line->version == "HTTP/1.0";
  head.request.method = line->method;
  for (const auto& field : message) {
    head.request.headers.push_back({std::string(field.name_string()), std::string(field.value())});
  }
  if (head.request.headers.size() > max_headers)
    return tl::unexpected(Refusal{431, "The request has too many headers."});
  std::string_view authority;
  auto refusal = read_target(line->target, head.request, authority);
  if (!refusal) refusal = read_other_headers(head);
  if (!refusal) refusal = check_host(head, authority);
  if (!refusal) refusal = read_framing(head);
  if (refusal) return tl::unexpected(*refusal);
  head.keeps_alive = message.keep_alive();
  return head;
}

}  // namespace lazyfill::server
