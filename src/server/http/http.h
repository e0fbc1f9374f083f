// The HTTP server that `lazyfill serve` stands on: HTTP/1.1 and 1.0 over TCP, TLS or a Unix socket. It knows
// nothing of models or of anybody's API. Connections are served by one thread, so that a stream that waits
// costs no thread; handlers run on a few others. What strangers may send is refused here; docs/decisions.md
// says why Boost.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "lazyfill/error.h"

namespace lazyfill::server {

struct Header {
  std::string name;
  std::string value;
};

struct HttpRequest {
  std::string method;
  std::string
      path;  // without the query, percent-decoded: no control characters, begins with '/' ("*" for OPTIONS *)
  std::string query;  // as it came, without the '?'
  std::vector<Header> headers;
  std::string body;
  std::string peer;  // the client's address without its port; "unix" behind a Unix socket

  const std::string* header(
      std::string_view name) const;  // in any case of letters; the first of that name, or null
};

struct HttpResponse {
  int status = 200;
  std::string content_type = "application/json";
  std::string body;
  std::vector<Header>
      headers;  // not those of framing (Content-Length, Transfer-Encoding, Connection): they are ours
};

// What an answer is written to. Any thread may call; calls never block on the network. What comes too late
// (after the end, or once the client has gone) is dropped. A header that is no header (a line break in its
// value) makes the answer a 500.
class Reply {
 public:
  virtual ~Reply() = default;

  // The whole answer, once.
  virtual void send(HttpResponse response) = 0;
  // The headers go out at once, a body of chunks follows (HTTP/1.0: until the connection closes).
  virtual void begin_stream(int status, std::string content_type, std::vector<Header> headers) = 0;
  // False: the client has gone, or reads so slowly that more than HttpOptions::max_waiting_bytes would wait
  // for it; then the connection is closed.
  virtual bool write(std::string piece) = 0;
  // The body ends properly. A reply that is dropped within a stream cuts the connection instead, so that
  // nobody takes half an answer for a whole one.
  virtual void end() = 0;
  // Stop is requested when the client disconnects (noticed while nothing is written, too), and when
  // shutdown() is at the end of its patience; then there is still a little time to write a last piece.
  // Callbacks run on the thread that serves all connections: they must be short.
  virtual std::stop_token gone() const = 0;
};

// Called on a worker; may return before the reply has ended. A reply that is dropped unanswered becomes a
// 500, and so does an exception.
using Handler = std::function<void(HttpRequest, std::shared_ptr<Reply>)>;

// What is decided when the headers are there and the body has not been read: keys, Host and Origin, routes.
// An answer refuses the request. Called on the thread that serves all connections: it must be quick.
using Gate = std::function<std::optional<HttpResponse>(const HttpRequest& head)>;

struct HttpOptions {
  std::string host = "127.0.0.1";  // a name or an address, of IPv4 or IPv6
  uint16_t port = 8080;            // 0: any free one
  std::string unix_socket;         // if not empty: the path to listen at, instead of host and port
  std::string tls_certificate;     // PEM files, both or none
  std::string tls_key;

  size_t n_threads = 2;  // workers that run handlers
  size_t max_connections = 512;
  size_t max_header_bytes = 16 << 10;
  size_t max_headers = 100;
  size_t max_body_bytes = 16 << 20;
  size_t max_bodies_bytes = 256 << 20;  // of all bodies that are being read at the same time
  size_t max_waiting_bytes = 1 << 20;   // of one stream, written and not yet taken by the network
  size_t max_requests = 1000;           // of one connection

  std::chrono::milliseconds header_timeout{10'000};  // from a request's first byte to the end of its headers
  std::chrono::milliseconds body_timeout{60'000};    // for the whole body
  std::chrono::milliseconds idle_timeout{60'000};    // between requests
  std::chrono::milliseconds write_timeout{30'000};   // for a client that takes nothing
  std::chrono::milliseconds linger_timeout{2'000};   // for what a refused client is still sending
  std::chrono::milliseconds stop_timeout{
      2'000};  // from the stop at the end of shutdown()'s patience to the cut
  // A client that is slower for longer than header_timeout (bodies) or write_timeout (answers) is given up.
  size_t min_bytes_per_s = 1024;
};

class HttpServer {
 public:
  static Result<HttpServer> start(HttpOptions options, Gate gate, Handler handler);
  HttpServer(HttpServer&& other) noexcept;
  HttpServer& operator=(HttpServer&& other) noexcept;
  ~HttpServer();  // shutdown(0)

  uint16_t port() const;  // 0 behind a Unix socket
  size_t n_connections() const;

  // No new connections; idle ones are closed, and the others after the answer that they wait for.
  void stop_accepting();
  // The same, then waits until all answers have ended, or `grace` is over. Then half requests are closed,
  // every gone() fires, and what has not ended after HttpOptions::stop_timeout is cut. Returns when no
  // handler runs any more. Not to be called by handlers.
  void shutdown(std::chrono::milliseconds grace);

 private:
  class Impl;
  explicit HttpServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace lazyfill::server
