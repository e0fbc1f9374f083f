#include "server/http/transport.h"

#include <boost/asio/post.hpp>
#include <boost/asio/ssl/stream.hpp>

namespace lazyfill::server {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

class PlainTransport final : public Transport {
 public:
  explicit PlainTransport(Socket socket) : socket_(std::move(socket)) {}

  void handshake(std::function<void(const error_code&)> done) override {
    asio::post(socket_.get_executor(), [done = std::move(done)] { done({}); });
  }
  void read_some(asio::mutable_buffer into, Done done) override {
    socket_.async_read_some(asio::buffer(into), std::move(done));
  }
  void write_some(const std::vector<asio::const_buffer>& from, Done done) override {
    socket_.async_write_some(from, std::move(done));
  }
  void shutdown_send(std::function<void()> done) override {
    error_code ignored;
    socket_.shutdown(Socket::shutdown_send, ignored);
    done();
  }
  void close() override {
    error_code ignored;
    socket_.close(ignored);
  }

 private:
  Socket socket_;
};

class TlsTransport final : public Transport {
 public:
  TlsTransport(Socket socket, asio::ssl::context& context) : stream_(std::move(socket), context) {}

  void handshake(std::function<void(const error_code&)> done) override {
    stream_.async_handshake(asio::ssl::stream_base::server, std::move(done));
  }
  void read_some(asio::mutable_buffer into, Done done) override {
    stream_.async_read_some(asio::buffer(into), std::move(done));
  }
  void write_some(const std::vector<asio::const_buffer>& from, Done done) override {
    stream_.async_write_some(from, std::move(done));
  }
  // Says goodbye in TLS, so that the other side knows that nothing was cut off.
  void shutdown_send(std::function<void()> done) override {
    stream_.async_shutdown([done = std::move(done)](const error_code&) { done(); });
  }
  void close() override {
    error_code ignored;
    stream_.lowest_layer().close(ignored);
  }

 private:
  asio::ssl::stream<Socket> stream_;
};

}  // namespace

std::unique_ptr<Transport> plain_transport(Socket socket) {
  return std::make_unique<PlainTransport>(std::move(socket));
}

std::unique_ptr<Transport> tls_transport(Socket socket, asio::ssl::context& context) {
  return std::make_unique<TlsTransport>(std::move(socket), context);
}

}  // namespace lazyfill::server
