#include "server/http/listener.h"

#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <cstring>

namespace lazyfill::server {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;
using Local = asio::local::stream_protocol;

constexpr int kBacklog = 1024;

Result<Listeners> cannot_listen(const HttpOptions& options, const error_code& error) {
  const bool is_local = !options.unix_socket.empty();
  const std::string what = is_local ? "the Unix socket" : "port " + std::to_string(options.port);
  const std::string advice = error == asio::error::address_in_use
                                 ? "; is another server running? Choose another one"
                             : error == asio::error::access_denied ? "; choose one that this user may use"
                                                                   : "";
  return fail(ErrorCode::kInvalidArgument,
              "Cannot listen at " + what + ": " + error.message() + advice + ".");
}

bool somebody_listens(asio::io_context& io, const std::string& path) {
  Local::socket probe(io);
  error_code error;
  probe.connect(Local::endpoint(path), error);
  return !error;
}

Result<Listeners> listen_locally(asio::io_context& io, const HttpOptions& options) {
  const std::string& path = options.unix_socket;
  if (path.size() >= sizeof(sockaddr_un::sun_path) || path.find('\0') != path.npos) {
    return fail(ErrorCode::kInvalidArgument,
                "The path of the Unix socket is too long; choose one of under 100 characters.");
  }
  struct stat status {};
  if (lstat(path.c_str(), &status) == 0 && S_ISSOCK(status.st_mode) && !somebody_listens(io, path))
    unlink(path.c_str());
  Listeners result;
  error_code error;
  Acceptor acceptor(io);
  acceptor.open(Local(), error);
  // Before bind(), so that at no time others than the user and the group may connect.
  if (!error && fchmod(acceptor.native_handle(), S_IRUSR | S_IWUSR | S_IRGRP | S_IWGRP) != 0) {
    error = error_code(errno, boost::system::system_category());
  }
  if (!error) acceptor.bind(Local::endpoint(path), error);
  if (!error) acceptor.listen(kBacklog, error);
  if (error) return cannot_listen(options, error);
  result.acceptors.push_back(std::move(acceptor));
  return result;
}

error_code open_tcp(Acceptor& acceptor, const tcp::endpoint& endpoint) {
  error_code error;
  acceptor.open(endpoint.protocol(), error);
  if (!error) acceptor.set_option(asio::socket_base::reuse_address(true), error);
  // "::" is every address, of both kinds.
  if (!error && endpoint.address().is_v6()) {
    acceptor.set_option(asio::ip::v6_only(!endpoint.address().is_unspecified()), error);
  }
  if (!error) acceptor.bind(endpoint, error);
  if (!error) acceptor.listen(kBacklog, error);
  return error;
}

}  // namespace

Result<Listeners> listen(asio::io_context& io, const HttpOptions& options) {
  if (!options.unix_socket.empty()) return listen_locally(io, options);
  std::string host = options.host;
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  error_code error;
  tcp::resolver resolver(io);
  const auto found = resolver.resolve(host, std::to_string(options.port), tcp::resolver::passive, error);
  if (error || found.empty()) {
    return fail(ErrorCode::kInvalidArgument,
                "The host to listen at has no address; name one of this machine, such as 127.0.0.1.");
  }
  Listeners result;
  result.port = options.port;
  error = {};
  for (const auto& entry : found) {
    tcp::endpoint endpoint = entry.endpoint();
    endpoint.port(result.port);
    Acceptor acceptor(io);
    if (const error_code e = open_tcp(acceptor, endpoint)) {
      // A name may have an address of a kind that this machine does not use.
      if (e == asio::error::address_in_use || !error) error = e;
      continue;
    }
    if (result.port == 0) {
      tcp::endpoint bound;
      const auto local = acceptor.local_endpoint();
      std::memcpy(bound.data(), local.data(), std::min(local.size(), bound.capacity()));
      result.port = bound.port();
    }
    result.acceptors.push_back(std::move(acceptor));
  }
  if (result.acceptors.empty() || error == asio::error::address_in_use) return cannot_listen(options, error);
  return result;
}

std::string peer_name(const asio::generic::stream_protocol::endpoint& endpoint) {
  const int family = endpoint.protocol().family();
  if (family != AF_INET && family != AF_INET6) return "unix";
  tcp::endpoint address;
  std::memcpy(address.data(), endpoint.data(), std::min(endpoint.size(), address.capacity()));
  if (address.address().is_v6() && address.address().to_v6().is_v4_mapped()) {
    return asio::ip::make_address_v4(asio::ip::v4_mapped, address.address().to_v6()).to_string();
  }
  return address.address().to_string();
}

}  // namespace lazyfill::server
