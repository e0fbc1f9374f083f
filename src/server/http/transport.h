// What a connection reads from and writes to: a socket, with TLS or without. Everything happens on the thread
// that runs the socket's context.
#pragma once

#include <boost/asio/buffer.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/ssl/context.hpp>
#include <functional>
#include <memory>
#include <vector>

namespace lazyfill::server {

using Socket = boost::asio::generic::stream_protocol::socket;

class Transport {
 public:
  using Done = std::function<void(const boost::system::error_code&, size_t)>;
  virtual ~Transport() = default;
  virtual void handshake(std::function<void(const boost::system::error_code&)> done) = 0;
  virtual void read_some(boost::asio::mutable_buffer into, Done done) = 0;
  virtual void write_some(const std::vector<boost::asio::const_buffer>& from, Done done) = 0;
  // Nothing more will be written; what the other side sends can still be read. `done` is kept while that
  // takes.
  virtual void shutdown_send(std::function<void()> done) = 0;
  virtual void close() = 0;  // pending calls end with an error
};

std::unique_ptr<Transport> plain_transport(Socket socket);
std::unique_ptr<Transport> tls_transport(Socket socket, boost::asio::ssl::context& context);

}  // namespace lazyfill::server
