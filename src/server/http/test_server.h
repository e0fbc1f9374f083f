// The server of the tests: /echo answers with what it got, /stream streams, other paths say what they were.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <mutex>
#include <string>

#include "server/http/http.h"
#include "server/http/test_client.h"

namespace lazyfill::server {

inline HttpOptions test_options() {
  HttpOptions options;
  options.port = 0;
  return options;
}

inline HttpServer must_start(HttpOptions options, Gate gate, Handler handler) {
  auto server = HttpServer::start(std::move(options), std::move(gate), std::move(handler));
  if (!server) {
    ADD_FAILURE() << server.error().message;
    std::abort();
  }
  return std::move(*server);
}

// Method, path, query and body, one a line.
inline void echo(const HttpRequest& request, const std::shared_ptr<Reply>& reply) {
  reply->send({200,
               "text/plain",
               request.method + "\n" + request.path + "\n" + request.query + "\n" + request.body,
               {}});
}

inline std::string get(std::string_view path, std::string_view more_headers = "") {
  return "GET " + std::string(path) + " HTTP/1.1\r\nHost: localhost\r\n" + std::string(more_headers) + "\r\n";
}

inline std::string post(std::string_view path, std::string_view body, std::string_view more_headers = "") {
  return "POST " + std::string(path) +
         " HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" +
         std::string(more_headers) + "\r\n" + std::string(body);
}

inline int status_of(std::string_view answer) {
  return answer.starts_with("HTTP/1.1 ") ? std::stoi(std::string(answer.substr(9, 3))) : 0;
}

inline std::string body_of(const std::string& answer) {
  return answer.substr(answer.find("\r\n\r\n") + 4);
}

// What the pieces of a chunked body say together; "(cut)" behind what does not end properly.
inline std::string unchunked(std::string_view body) {
  std::string result;
  while (true) {
    const size_t line_end = body.find("\r\n");
    if (line_end == body.npos) return result + "(cut)";
    const size_t size = std::stoul(std::string(body.substr(0, line_end)), nullptr, 16);
    body.remove_prefix(line_end + 2);
    if (size == 0) return body == "\r\n" ? result : result + "(more)";
    if (body.size() < size + 2) return result + "(cut)";
    result += body.substr(0, size);
    body.remove_prefix(size + 2);
  }
}

}  // namespace lazyfill::server
