#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/beast/core/string.hpp>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <unordered_set>

#include "server/http/connection.h"
#include "server/http/http.h"
#include "server/http/listener.h"

namespace lazyfill::server {

namespace asio = boost::asio;
using boost::system::error_code;
using std::chrono::milliseconds;

namespace {

constexpr milliseconds kAcceptPause{100};  // after the system had no socket to give

// Threads inherit a mask: signals are for the thread that waits for them, none of ours.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_{};
};

Result<std::unique_ptr<asio::ssl::context>> tls_context(const HttpOptions& options) {
  if (options.tls_certificate.empty() != options.tls_key.empty()) {
    return fail(ErrorCode::kInvalidArgument, "TLS needs a certificate and a key: name both files.");
  }
  if (options.tls_certificate.empty()) return nullptr;
  auto context = std::make_unique<asio::ssl::context>(asio::ssl::context::tls_server);
  SSL_CTX_set_min_proto_version(context->native_handle(), TLS1_2_VERSION);
  SSL_CTX_set_options(context->native_handle(), SSL_OP_NO_RENEGOTIATION);
  SSL_CTX_set_mode(context->native_handle(), SSL_MODE_RELEASE_BUFFERS);
  error_code error;
  context->use_certificate_chain_file(options.tls_certificate, error);
  if (error)
    return fail(ErrorCode::kInvalidFile, "The TLS certificate cannot be read; it must be a PEM file.");
  context->use_private_key_file(options.tls_key, asio::ssl::context::pem, error);
  if (error)
    return fail(ErrorCode::kInvalidFile,
                "The TLS key cannot be read, or is not that of the certificate; it must be a PEM file.");
  return context;
}

}  // namespace

const std::string* HttpRequest::header(std::string_view name) const {
  for (const Header& h : headers) {
    if (boost::beast::iequals({name.data(), name.size()}, h.name)) return &h.value;
  }
  return nullptr;
}

class HttpServer::Impl {
 public:
  Impl(HttpOptions options, Gate gate, Handler handler)
      : handler_(std::move(handler)), workers_(std::max<size_t>(options.n_threads, 1)) {
    host_.options = std::move(options);
    host_.gate = std::move(gate);
    host_.run_handler = [this](HttpRequest request, std::shared_ptr<Reply> reply) {
      run_handler(std::move(request), std::move(reply));
    };
    host_.on_closed = [this](Connection& connection) { on_closed(connection); };
  }
  ~Impl() { shutdown(milliseconds(0)); }

  Result<bool> start() {
    auto context = tls_context(host_.options);
    if (!context) return tl::unexpected(context.error());
    tls_ = std::move(*context);
    auto listeners = listen(io_, host_.options);
    if (!listeners) return tl::unexpected(listeners.error());
    listeners_ = std::move(*listeners);
    for (Acceptor& acceptor : listeners_.acceptors) accept(acceptor);
    thread_ = std::thread([this] { serve(); });
    return true;
  }

  uint16_t port() const { return listeners_.port; }
  size_t n_connections() const { return n_connections_; }

  void stop_accepting() {
    asio::post(io_, [this] {
      if (std::exchange(host_.is_stopping, true)) return;
      error_code ignored;
      for (Acceptor& acceptor : listeners_.acceptors) acceptor.close(ignored);
      if (!host_.options.unix_socket.empty()) unlink(host_.options.unix_socket.c_str());
      for_all([](Connection& c) { c.close_if_idle(); });
    });
  }

  void shutdown(milliseconds grace) {
    if (!thread_.joinable()) return;
    stop_accepting();
    if (!wait_for_silence(grace)) {
      asio::post(io_, [this] { for_all([](Connection& c) { c.request_stop(); }); });
      wait_for_silence(host_.options.stop_timeout);
    }
    asio::post(io_, [this] { for_all([](Connection& c) { c.close(); }); });
    workers_.join();
    work_.reset();
    thread_.join();
  }

 private:
  void serve() {
    while (true) {
      try {
        io_.run();
        return;
      } catch (const std::exception&) {
        // Memory ran out between two connections; they go on.
      }
    }
  }

  void accept(Acceptor& acceptor) {
    acceptor.async_accept([this, &acceptor](const error_code& error, Socket socket) {
      if (!acceptor.is_open()) return;
      if (error) return pause(acceptor);
      accept(acceptor);
      admit(std::move(socket));
    });
  }

  void pause(Acceptor& acceptor) {
    auto timer = std::make_shared<asio::steady_timer>(io_, kAcceptPause);
    timer->async_wait([this, &acceptor, timer](const error_code&) {
      if (acceptor.is_open()) accept(acceptor);
    });
  }

  void admit(Socket socket) {
    if (connections_.size() >= host_.options.max_connections) close_longest_spare();
    if (connections_.size() >= host_.options.max_connections) return;  // the socket closes
    error_code error;
    const auto peer = socket.remote_endpoint(error);
    if (error) return;
    socket.set_option(asio::ip::tcp::no_delay(true), error);  // a Unix socket has no such thing
    auto transport = tls_ ? tls_transport(std::move(socket), *tls_) : plain_transport(std::move(socket));
    auto connection =
        std::make_shared<Connection>(host_, io_.get_executor(), std::move(transport), peer_name(peer));
    connections_.insert(connection);
    n_connections_ = connections_.size();
    connection->start();
  }

  // Whoever keeps a connection open and asks nothing, or says it very slowly, makes room for others.
  void close_longest_spare() {
    std::shared_ptr<Connection> longest;
    for (const auto& connection : connections_) {
      const auto since = connection->spare_since();
      if (since && (!longest || *since < longest->spare_since())) longest = connection;
    }
    if (longest) longest->close();
  }

  void run_handler(HttpRequest request, std::shared_ptr<Reply> reply) {
    asio::post(workers_, [this, request = std::move(request), reply = std::move(reply)]() mutable {
      try {
        handler_(std::move(request), reply);
      } catch (const std::exception&) {
        abandon(*reply);
      }
      reply.reset();
    });
  }

  void on_closed(Connection& connection) {
    connections_.erase(connection.shared_from_this());
    n_connections_ = connections_.size();
    if (!connections_.empty()) return;
    std::lock_guard lock(mutex_);
    silence_.notify_all();
  }

  bool wait_for_silence(milliseconds time) {
    std::unique_lock lock(mutex_);
    return silence_.wait_for(lock, time, [this] { return n_connections_ == 0; });
  }

  // `what` may close connections.
  void for_all(void (*what)(Connection&)) {
    const std::vector<std::shared_ptr<Connection>> all(connections_.begin(), connections_.end());
    for (const auto& connection : all) what(*connection);
  }

  asio::io_context io_{1};
  asio::executor_work_guard<asio::io_context::executor_type> work_{io_.get_executor()};
  std::unique_ptr<asio::ssl::context> tls_;
  Handler handler_;
  ConnectionHost host_;
  Listeners listeners_;
  std::unordered_set<std::shared_ptr<Connection>> connections_;  // of the thread for connections
  std::atomic<size_t> n_connections_{0};
  std::mutex mutex_;
  std::condition_variable silence_;  // no connection is left
  asio::thread_pool workers_;
  std::thread thread_;
};

Result<HttpServer> HttpServer::start(HttpOptions options, Gate gate, Handler handler) {
  const SignalsBlocked blocked;
  auto impl = std::make_unique<Impl>(std::move(options), std::move(gate), std::move(handler));
  if (const auto started = impl->start(); !started) return tl::unexpected(started.error());
  return HttpServer(std::move(impl));
}

HttpServer::HttpServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
HttpServer::HttpServer(HttpServer&&) noexcept = default;
HttpServer& HttpServer::operator=(HttpServer&&) noexcept = default;
HttpServer::~HttpServer() = default;

uint16_t HttpServer::port() const {
  return impl_->port();
}
size_t HttpServer::n_connections() const {
  return impl_->n_connections();
}
void HttpServer::stop_accepting() {
  impl_->stop_accepting();
}
void HttpServer::shutdown(milliseconds grace) {
  impl_->shutdown(grace);
}

}  // namespace lazyfill::server
