// Where a server listens: addresses, Unix sockets, TLS.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <atomic>
#include <filesystem>
#include <fstream>

#include "server/http/http.h"
#include "server/http/test_server.h"

namespace lazyfill::server {
namespace {

using testing::HasSubstr;

TEST(HttpListenTest, AddressesOfBothKinds) {
  for (const char* host : {"127.0.0.1", "localhost", "0.0.0.0"}) {
    HttpOptions options = test_options();
    options.host = host;
    const HttpServer server = must_start(options, nullptr, echo);
    TestClient client(server.port());
    client.send(get("/"));
    EXPECT_EQ(status_of(client.read_answer()), 200) << host;
  }
}

TEST(HttpListenTest, Ipv6) {
  const int probe = ::socket(AF_INET6, SOCK_STREAM, 0);
  sockaddr_in6 loopback{};
  loopback.sin6_family = AF_INET6;
  loopback.sin6_addr = in6addr_loopback;
  if (probe < 0 || bind(probe, reinterpret_cast<const sockaddr*>(&loopback), sizeof loopback) != 0) {
    GTEST_SKIP() << "this machine has no IPv6";
  }
  close(probe);
  for (const char* host : {"::1", "[::1]", "::"}) {
    HttpOptions options = test_options();
    options.host = host;
    const HttpServer server = must_start(options, nullptr, [](const HttpRequest& request, const auto& reply) {
      reply->send({200, "text/plain", request.peer, {}});
    });
    const int socket = ::socket(AF_INET6, SOCK_STREAM, 0);
    loopback.sin6_port = htons(server.port());
    ASSERT_EQ(connect(socket, reinterpret_cast<const sockaddr*>(&loopback), sizeof loopback), 0) << host;
    TestClient client = TestClient::of(socket);
    client.send(get("/"));
    EXPECT_EQ(body_of(client.read_answer()), "::1");
    if (std::string_view(host) != "::") continue;
    TestClient v4(server.port());
    v4.send(get("/"));
    EXPECT_EQ(body_of(v4.read_answer()), "127.0.0.1");
  }
}

TEST(HttpListenTest, PortsAndHostsThatCannotBe) {
  HttpOptions options = test_options();
  const HttpServer first = must_start(options, nullptr, echo);
  options.port = first.port();
  const auto second = HttpServer::start(options, nullptr, echo);
  ASSERT_FALSE(second);
  EXPECT_THAT(second.error().message, HasSubstr("is another server running?"));
  options.host = "host.invalid";
  const auto unknown = HttpServer::start(options, nullptr, echo);
  ASSERT_FALSE(unknown);
  EXPECT_THAT(unknown.error().message, HasSubstr("has no address"));
  options.host = "192.0.2.1";  // nobody's
  EXPECT_FALSE(HttpServer::start(options, nullptr, echo));
}

class HttpUnixTest : public testing::Test {
 protected:
  HttpUnixTest() {
    options_.unix_socket = testing::TempDir() + "lazyfill_http_" + std::to_string(getpid()) + ".sock";
    std::filesystem::remove(options_.unix_socket);
  }
  ~HttpUnixTest() override { std::filesystem::remove(options_.unix_socket); }

  TestClient connect_to_it() {
    const int socket = ::socket(AF_UNIX, SOCK_STREAM, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    options_.unix_socket.copy(address.sun_path, sizeof address.sun_path - 1);
    EXPECT_EQ(connect(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    return TestClient::of(socket);
  }

  HttpOptions options_ = test_options();
};

TEST_F(HttpUnixTest, AnswersAndGoesAway) {
  {
    const HttpServer server =
        must_start(options_, nullptr, [](const HttpRequest& request, const auto& reply) {
          reply->send({200, "text/plain", request.peer, {}});
        });
    TestClient client = connect_to_it();
    client.send(get("/"));
    EXPECT_EQ(body_of(client.read_answer()), "unix");
    EXPECT_EQ(server.port(), 0);
    struct stat status {};
    ASSERT_EQ(stat(options_.unix_socket.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0007, 0U) << "others may connect";
    const auto second = HttpServer::start(options_, nullptr, echo);
    ASSERT_FALSE(second);
    EXPECT_THAT(second.error().message, HasSubstr("is another server running?"));
  }
  EXPECT_FALSE(std::filesystem::exists(options_.unix_socket));
}

TEST_F(HttpUnixTest, ReplacesWhatADeadServerLeftAndNothingElse) {
  const int dead = ::socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  options_.unix_socket.copy(address.sun_path, sizeof address.sun_path - 1);
  ASSERT_EQ(bind(dead, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  close(dead);
  { const HttpServer server = must_start(options_, nullptr, echo); }
  std::ofstream(options_.unix_socket) << "a file of somebody";
  EXPECT_FALSE(HttpServer::start(options_, nullptr, echo));
  EXPECT_TRUE(std::filesystem::exists(options_.unix_socket));
  options_.unix_socket = std::string(200, 'x');
  EXPECT_FALSE(HttpServer::start(options_, nullptr, echo));
}

// A key and a certificate that it signs itself, written to two files.
void write_certificate(const std::string& certificate_path, const std::string& key_path) {
  EVP_PKEY* key = EVP_EC_gen("P-256");
  X509* certificate = X509_new();
  X509_set_version(certificate, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
  X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
  X509_set_pubkey(certificate, key);
  X509_NAME* name = X509_get_subject_name(certificate);
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>("localhost"),
                             -1, -1, 0);
  X509_set_issuer_name(certificate, name);
  X509_sign(certificate, key, EVP_sha256());
  FILE* file = fopen(certificate_path.c_str(), "w");
  PEM_write_X509(file, certificate);
  fclose(file);
  file = fopen(key_path.c_str(), "w");
  PEM_write_PrivateKey(file, key, nullptr, nullptr, 0, nullptr, nullptr);
  fclose(file);
  X509_free(certificate);
  EVP_PKEY_free(key);
}

class TlsClient {
 public:
  explicit TlsClient(uint16_t port)
      : connection_(port), context_(SSL_CTX_new(TLS_client_method())), tls_(SSL_new(context_)) {
    SSL_set_fd(tls_, connection_.socket());
    EXPECT_EQ(SSL_connect(tls_), 1);
  }
  ~TlsClient() {
    SSL_free(tls_);
    SSL_CTX_free(context_);
  }
  void send(const std::string& bytes) {
    EXPECT_GT(SSL_write(tls_, bytes.data(), static_cast<int>(bytes.size())), 0);
  }
  std::string read_until(std::string_view mark) {
    while (in_.find(mark) == in_.npos && receive()) {
    }
    return std::exchange(in_, {});
  }
  std::string read_all() {
    while (receive()) {
    }
    return std::exchange(in_, {});
  }
  // Whether the server said goodbye, so that nobody can have cut anything off.
  bool was_closed_properly() const { return SSL_get_shutdown(tls_) & SSL_RECEIVED_SHUTDOWN; }
  void reset() { connection_.reset(); }

 private:
  bool receive() {
    char space[16384];
    const int n = SSL_read(tls_, space, sizeof space);
    if (n > 0) in_.append(space, static_cast<size_t>(n));
    return n > 0;
  }

  TestClient connection_;
  SSL_CTX* context_;
  SSL* tls_;
  std::string in_;
};

class HttpTlsTest : public testing::Test {
 protected:
  HttpTlsTest() {
    const std::string prefix = testing::TempDir() + "lazyfill_http_" + std::to_string(getpid());
    options_.tls_certificate = prefix + ".crt";
    options_.tls_key = prefix + ".key";
    write_certificate(options_.tls_certificate, options_.tls_key);
  }
  ~HttpTlsTest() override {
    std::filesystem::remove(options_.tls_certificate);
    std::filesystem::remove(options_.tls_key);
  }
  HttpOptions options_ = test_options();
};

TEST_F(HttpTlsTest, AnswersAndSaysGoodbye) {
  const HttpServer server = must_start(options_, nullptr, echo);
  TlsClient client(server.port());
  const std::string body(1 << 20, 'x');
  client.send(post("/", body));
  EXPECT_EQ(body_of(client.read_until("xxx")).substr(0, 7), "POST\n/\n");
  TlsClient last(server.port());
  last.send(post("/", body, "Connection: close\r\n"));
  EXPECT_EQ(body_of(last.read_all()), "POST\n/\n\n" + body);
  EXPECT_TRUE(last.was_closed_properly());
}

TEST_F(HttpTlsTest, StreamsAndNoticesThatAClientLeaves) {
  std::atomic<int> n_gone = 0;
  const HttpServer server =
      must_start(options_, nullptr, [&](const HttpRequest& request, const std::shared_ptr<Reply>& reply) {
        reply->begin_stream(200, "text/plain", {});
        reply->write("piece");
        if (request.path == "/end") return reply->end();
        if (request.path == "/flood") {
          while (reply->write(std::string(10'000, 'x'))) {
          }
        }
        while (!reply->gone().stop_requested()) usleep(1000);
        ++n_gone;
      });
  TlsClient client(server.port());
  client.send(get("/end"));
  EXPECT_EQ(unchunked(body_of(client.read_until("0\r\n\r\n"))), "piece");
  client.send(get("/wait"));
  EXPECT_THAT(client.read_until("piece"), HasSubstr("piece"));
  client.reset();
  EXPECT_TRUE(eventually([&] { return n_gone == 1; }));
  TlsClient slow(server.port());
  slow.send(get("/flood"));
  EXPECT_TRUE(eventually([&] { return n_gone == 2; }));
}

TEST_F(HttpTlsTest, WhatIsNoTlsIsClosed) {
  options_.header_timeout = std::chrono::milliseconds(1000);
  const HttpServer server = must_start(options_, nullptr, echo);
  TestClient plain(server.port());
  plain.send(get("/"));
  EXPECT_EQ(plain.read_all().find("HTTP"), std::string::npos);
  TestClient silent(server.port());
  EXPECT_EQ(silent.read_all(), "");
  TestClient half(server.port());
  half.send(std::string_view("\x16\x03\x01\x02\x00\x01\x00", 7));
  EXPECT_EQ(half.read_all(), "");
  TlsClient client(server.port());
  client.send(get("/"));
  EXPECT_EQ(status_of(client.read_until("/\n\n")), 200);
}

TEST_F(HttpTlsTest, ShutdownWithOpenConnections) {
  options_.stop_timeout = kPatience;
  options_.linger_timeout = std::chrono::milliseconds(200);
  HttpServer server =
      must_start(options_, nullptr, [](const HttpRequest&, const std::shared_ptr<Reply>& reply) {
        reply->begin_stream(200, "text/plain", {});
        reply->write("begun");
        while (!reply->gone().stop_requested()) usleep(1000);
        reply->end();
      });
  TlsClient idle(server.port());
  TlsClient client(server.port());
  client.send(get("/"));
  client.read_until("begun\r\n");
  server.shutdown(std::chrono::milliseconds(10));
  EXPECT_EQ(client.read_all(), "0\r\n\r\n");
  EXPECT_TRUE(client.was_closed_properly());
}

TEST_F(HttpTlsTest, FilesThatAreNoCertificateOrKey) {
  const HttpOptions good = options_;
  options_.tls_key.clear();
  EXPECT_THAT(HttpServer::start(options_, nullptr, echo).error().message, HasSubstr("name both files"));
  options_ = good;
  options_.tls_certificate = good.tls_key;
  EXPECT_THAT(HttpServer::start(options_, nullptr, echo).error().message,
              HasSubstr("certificate cannot be read"));
  options_ = good;
  options_.tls_key = "/nowhere/key.pem";
  EXPECT_THAT(HttpServer::start(options_, nullptr, echo).error().message, HasSubstr("key cannot be read"));
  options_ = good;
}

}  // namespace
}  // namespace lazyfill::server
