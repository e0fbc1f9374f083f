// Where a server listens.
#pragma once

#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <vector>

#include "server/http/http.h"

namespace lazyfill::server {

using Acceptor = boost::asio::basic_socket_acceptor<boost::asio::generic::stream_protocol>;

struct Listeners {
  std::vector<Acceptor> acceptors;
  uint16_t port = 0;
};

// Every address of the options' host, or the Unix socket. A socket's file that a dead server left is
// replaced.
Result<Listeners> listen(boost::asio::io_context& io, const HttpOptions& options);

// The client's address without its port.
std::string peer_name(const boost::asio::generic::stream_protocol::endpoint& endpoint);

}  // namespace lazyfill::server
