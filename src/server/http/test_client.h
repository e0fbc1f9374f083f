// A client of the tests that sends whatever bytes it is given. Waits are generous: they end a hanging test,
// they measure nothing.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <string>
#include <string_view>
#include <utility>

namespace lazyfill::server {

constexpr std::chrono::seconds kPatience{60};

// Whether `condition` comes true before the patience ends.
template <class F>
bool eventually(F condition) {
  const auto end = std::chrono::steady_clock::now() + kPatience;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    usleep(2000);
  }
  return true;
}

class TestClient {
 public:
  explicit TestClient(uint16_t port, int receive_buffer_bytes = 0)
      : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
    if (receive_buffer_bytes > 0) {
      setsockopt(socket_, SOL_SOCKET, SO_RCVBUF, &receive_buffer_bytes, sizeof receive_buffer_bytes);
    }
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  }
  TestClient(TestClient&& other) noexcept
      : socket_(std::exchange(other.socket_, -1)), in_(std::move(other.in_)) {}
  ~TestClient() { close(); }
  // Of a socket that is connected already.
  static TestClient of(int socket) { return TestClient(Connected{socket}); }
  int socket() const { return socket_; }

  // False: the server has closed.
  bool send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t n = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(n));
    }
    return true;
  }

  // Everything up to and including `mark`; what came until the end if it does not come.
  std::string read_until(std::string_view mark) {
    size_t found = 0;
    while ((found = in_.find(mark)) == in_.npos) {
      if (!receive()) return std::exchange(in_, {});
    }
    const std::string result = in_.substr(0, found + mark.size());
    in_.erase(0, result.size());
    return result;
  }

  // Until the server closes; fails the test if it does not.
  std::string read_all() {
    while (receive()) {
    }
    return std::exchange(in_, {});
  }

  // One answer with a Content-Length.
  std::string read_answer() {
    std::string answer = read_until("\r\n\r\n");
    const size_t at = answer.find("Content-Length: ");
    if (at == answer.npos) return answer;
    const size_t n_body = std::stoul(answer.substr(at + 16));
    while (in_.size() < n_body && receive()) {
    }
    answer += in_.substr(0, n_body);
    in_.erase(0, n_body);
    return answer;
  }

  bool has_answer() const {
    pollfd waiting{socket_, POLLIN, 0};
    return poll(&waiting, 1, 0) == 1;
  }

  void shutdown_send() { shutdown(socket_, SHUT_WR); }
  void close() {
    if (socket_ >= 0) ::close(std::exchange(socket_, -1));
  }
  // As a process does that is killed with unread data.
  void reset() {
    const linger at_once{1, 0};
    setsockopt(socket_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close();
  }

 private:
  struct Connected {
    int socket;
  };
  explicit TestClient(Connected connected) : socket_(connected.socket) {}

  bool receive() {
    pollfd waiting{socket_, POLLIN, 0};
    if (poll(&waiting, 1, std::chrono::milliseconds(kPatience).count()) != 1) {
      ADD_FAILURE() << "the server neither sent nor closed";
      return false;
    }
    char space[65536];
    const ssize_t n = recv(socket_, space, sizeof space, 0);
    if (n > 0) in_.append(space, static_cast<size_t>(n));
    return n > 0;
  }

  int socket_;
  std::string in_;
};

}  // namespace lazyfill::server
