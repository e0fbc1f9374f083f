// What strangers try: every attack is refused with a 4xx or 5xx or by closing, and the server goes on.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "server/http/http.h"
#include "server/http/test_server.h"

namespace lazyfill::server {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;
using testing::Not;

class HttpAttackTest : public testing::Test {
 protected:
  // Each test ends with a client whom nothing of all that concerns.
  ~HttpAttackTest() override {
    TestClient client(server_.port());
    client.send(post("/alive", "body"));
    EXPECT_EQ(body_of(client.read_answer()), "POST\n/alive\n\nbody");
  }

  // Sends `request`, and behind it one that must not be answered, since nobody can know where it begins.
  void expect_refused(const std::string& request, int status) {
    TestClient client(server_.port());
    client.send(request + get("/smuggled"));
    const std::string answer = client.read_all();
    EXPECT_EQ(status_of(answer), status) << testing::PrintToString(request);
    EXPECT_THAT(answer, HasSubstr("\r\nConnection: close\r\n")) << request;
    EXPECT_THAT(answer, HasSubstr("\r\nContent-Type: application/json\r\n")) << request;
    EXPECT_THAT(body_of(answer),
                testing::MatchesRegex("\\{\"type\":\"error\",\"error\":\\{\"message\":\"[^\"]+\",\"type\":\"["
                                      "a-z_]+\",\"code\":\"[a-z_]+\"\\}\\}\n"));
    EXPECT_THAT(answer, Not(HasSubstr("smuggled"))) << request;
  }
  // Headers of a POST with the body "hello" behind them.
  void expect_headers_refused(const std::string& headers, int status) {
    expect_refused("POST / HTTP/1.1\r\nHost: a\r\n" + headers + "\r\nhello", status);
  }
  void expect_chunks_refused(const std::string& chunks, int status) {
    expect_refused("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks, status);
  }

  HttpServer server_ = must_start(
      [] {
        HttpOptions options = test_options();
        options.max_body_bytes = 1000;
        options.linger_timeout = kPatience;
        return options;
      }(),
      nullptr, echo);
};

TEST_F(HttpAttackTest, TransferEncodingWithContentLength) {
  expect_headers_refused("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", 400);
  expect_headers_refused("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", 400);
  expect_headers_refused("Transfer-Encoding: gzip\r\nContent-Length: 5\r\n", 400);
}

TEST_F(HttpAttackTest, TransferEncodingOtherThanChunked) {
  for (const char* value : {"gzip", "gzip, chunked", "chunked, gzip", "chunked, chunked", "identity",
                            "xchunked", "\"chunked\"", "chunked;q=1", "chunke", "", ",chunked", "chunked,"}) {
    expect_headers_refused(std::string("Transfer-Encoding: ") + value + "\r\n", 400);
  }
  expect_headers_refused("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 400);
  expect_headers_refused("Transfer-Encoding: chunked\r\ntransfer-encoding: identity\r\n", 400);
  expect_headers_refused(
      "Transfer-Encoding:\x0b"
      "chunked\r\n",
      400);
}

TEST_F(HttpAttackTest, ChunksFromHttp10) {
  expect_refused("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 400);
}

TEST_F(HttpAttackTest, ContentLengthThatIsNoNumberOrTwo) {
  for (const char* value :
       {"", "+5", "-5", "5 5", "5,5", "5, 6", "0x5", "5a", "5.0", "five", "\"5\"", " 5\t5"}) {
    expect_headers_refused(std::string("Content-Length: ") + value + "\r\n", 400);
  }
  expect_headers_refused("Content-Length: 18446744073709551616\r\n", 400);
  expect_headers_refused("Content-Length: 99999999999999999999999999\r\n", 400);
  expect_headers_refused("Content-Length: 5\r\nContent-Length: 5\r\n", 400);
  expect_headers_refused("Content-Length: 5\r\ncontent-length: 6\r\n", 400);
}

TEST_F(HttpAttackTest, BodyLargerThanTheLimitIsNotRead) {
  for (const char* value : {"1001", "99999999999", "18446744073709551615"}) {
    TestClient client(server_.port());
    client.send(std::string("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ") + value +
                "\r\nExpect: 100-continue\r\n\r\n");
    EXPECT_EQ(status_of(client.read_all()), 413) << value;
  }
  TestClient client(server_.port());
  client.send(post("/", std::string(1000, 'x')));
  EXPECT_EQ(status_of(client.read_answer()), 200);
}

// A client that writes all of its body before it reads gets to read the answer.
TEST_F(HttpAttackTest, WhoSendsTooLargeABodyStillReadsTheAnswer) {
  for (int i = 0; i < 5; ++i) {
    TestClient client(server_.port());
    client.send(post("/", std::string(20 << 20, 'x')));
    EXPECT_EQ(status_of(client.read_all()), 413);
  }
}

TEST_F(HttpAttackTest, LiesInChunks) {
  for (const char* chunks : {
           "x\r\nhello\r\n0\r\n\r\n",
           "\r\nhello\r\n",
           "5\nhello\r\n0\r\n\r\n",
           "5\rhello\r\n0\r\n\r\n",
           "5\r\nhello0\r\n\r\n",
           "5\r\nhello\n0\r\n\r\n",
           "5\r\nhello\r0\r\n\r\n",
           "5\r\nhelloo\r\n0\r\n\r\n",
           "4\r\nhello\r\n0\r\n\r\n",
           "-5\r\nhello\r\n",
           "+5\r\nhello\r\n",
           "0x5\r\nhello\r\n",
           " 5\r\nhello\r\n",
           "5 \r\nhello\r\n",
           "5,5\r\nhello\r\n",
           ";a\r\nhello\r\n",
           "5;a\nb\r\nhello\r\n",
           "5;a\x01\r\nhello\r\n",
           "00000000000000005\r\nhello\r\n0\r\n\r\n",
           "0\r\n folded\r\n\r\n",
           "0\r\nTrailer: a\n\r\n\r\n",
           "0\r\nTrailer: a\x01\r\n\r\n",
           "0\n\r\n",
           "0\r\n\rx",
           "0\r\n\n",
           "g\r\n",
           "ffffffffffffffffffff\r\n",
       }) {
    expect_chunks_refused(chunks, 400);
  }
}

TEST_F(HttpAttackTest, ChunksLargerThanTheLimit) {
  for (const char* chunks : {"3e9\r\n", "fffffffffffffff\r\n", "7fffffff\r\n", "80000000\r\n"})
    expect_chunks_refused(chunks, 413);
  std::string many;
  for (int i = 0; i < 11; ++i) many += "64\r\n" + std::string(100, 'x') + "\r\n";
  expect_chunks_refused(many, 413);
}

TEST_F(HttpAttackTest, ExtensionsAndTrailersWithoutEnd) {
  expect_chunks_refused("5;" + std::string(300, 'a') + "\r\nhello\r\n0\r\n\r\n", 400);
  std::string many;
  for (int i = 0; i < 100; ++i) many += "1;" + std::string(100, 'a') + "\r\nx\r\n";
  expect_chunks_refused(many, 400);
  expect_chunks_refused("0\r\nA: " + std::string(5000, 'a') + "\r\n\r\n", 400);
  std::string trailers = "0\r\n";
  for (int i = 0; i < 1000; ++i) trailers += "A: abc\r\n";
  expect_chunks_refused(trailers + "\r\n", 400);
}

TEST_F(HttpAttackTest, TrailersDoNotBecomeHeaders) {
  const HttpServer server =
      must_start(test_options(), nullptr, [](const HttpRequest& request, const auto& reply) {
        reply->send({200, "text/plain", request.header("Authorization") ? "fooled" : "fine", {}});
      });
  TestClient client(server.port());
  client.send(
      "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: "
      "Authorization\r\n\r\n0\r\nAuthorization: x\r\n\r\n");
  EXPECT_EQ(body_of(client.read_answer()), "fine");
}

TEST_F(HttpAttackTest, HeadLargerThanTheLimit) {
  expect_refused("GET / HTTP/1.1\r\nHost: a\r\nX: " + std::string(20'000, 'x') + "\r\n\r\n", 431);
  expect_refused("GET /" + std::string(20'000, 'x') + " HTTP/1.1\r\nHost: a\r\n\r\n", 431);
  expect_refused(std::string(1 << 20, 'A'), 431);  // a method without end
  std::string many = "GET / HTTP/1.1\r\nHost: a\r\n";
  for (int i = 0; i < 200; ++i) many += "X: x\r\n";
  expect_refused(many + "\r\n", 431);
}

TEST_F(HttpAttackTest, FoldedHeaders) {
  expect_refused("GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n", 400);
  expect_refused("GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n\tb\r\n\r\n", 400);
  expect_refused("GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400);
  expect_headers_refused("Content-Length: 5\r\nX: a\r\n Transfer-Encoding: chunked\r\n", 400);
}

TEST_F(HttpAttackTest, LineEndsThatAreNone) {
  expect_refused("GET / HTTP/1.1\nHost: a\n\n", 400);
  expect_refused("GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", 400);
  expect_refused("GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", 400);
  expect_refused("GET / HTTP/1.1\r\nHost: a\r\n\n", 400);
  expect_refused("GET / HTTP/1.1\r\nHost: a\r\r\n\r\n", 400);
  expect_refused("GET / HTTP/1.1\r\nHost: a\r\n\r\r\n", 400);
  expect_refused("\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400);
  expect_refused("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400);
}

TEST_F(HttpAttackTest, HeaderNamesThatAreNone) {
  for (const char* line : {"Content-Length : 5", ": 5", "X Y: 5", "X(Y): 5", "NoColon", "X@: 5",
                           "\xc3\xa4: 5", "\"X\": 5", "X\t: 5"}) {
    expect_headers_refused(std::string(line) + "\r\n", 400);
  }
}

TEST_F(HttpAttackTest, ControlCharactersInHeaders) {
  for (const char c : {'\0', '\x01', '\x08', '\x0b', '\x0c', '\x1b', '\x7f'}) {
    expect_refused("GET / HTTP/1.1\r\nHost: a\r\nX: a" + std::string(1, c) + "b\r\n\r\n", 400);
    expect_refused("GET /" + std::string(1, c) + " HTTP/1.1\r\nHost: a\r\n\r\n", 400);
    expect_refused(std::string(1, c), 400);
  }
}

TEST_F(HttpAttackTest, HeadersThatMayComeOnceComeTwice) {
  for (const char* name : {"Host", "Authorization", "Content-Type", "Origin", "X-Api-Key", "Expect"}) {
    expect_refused("GET / HTTP/1.1\r\nHost: a\r\n" + std::string(name) + ": a\r\n" + name + ": a\r\n\r\n",
                   400);
  }
}

TEST_F(HttpAttackTest, HostThatIsNone) {
  expect_refused("GET / HTTP/1.1\r\n\r\n", 400);
  for (const char* host : {"a b", "a/b", "user@a", "a,b", "a?", "<script>"}) {
    expect_refused("GET / HTTP/1.1\r\nHost: " + std::string(host) + "\r\n\r\n", 400);
  }
  // Two hosts: one to be checked and one to be used.
  expect_refused("GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n", 400);
  expect_refused("GET http://localhost@evil.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n", 400);
  expect_refused("GET http://evil.example/ HTTP/1.0\r\n\r\n", 400);
}

TEST_F(HttpAttackTest, TargetsThatAreNone) {
  for (const char* target :
       {"%",    "/%",        "/%1",    "/%zz", "/%0",  "/%-1", "/%+1", "/% 1",    "/%00",         "/a%00b",
        "/%0a", "/%0d%0a",   "/%1b",   "/%7f", "*",    "path", "a:80", "http://", "http:///path", "ftp://a/",
        "/a#b", "/\xc3\xa4", "/a\x7f", "//%",  "/a b", "",     "/ ",   "?",       "http://a#"}) {
    expect_refused("GET " + std::string(target) + " HTTP/1.1\r\nHost: a\r\n\r\n", 400);
  }
  expect_refused("OPTIONS *x HTTP/1.1\r\nHost: a\r\n\r\n", 400);
}

TEST_F(HttpAttackTest, PathsThatClimbArePassedOnAsTheyAre) {
  TestClient client(server_.port());
  client.send(get("/../%2e%2e/etc//passwd"));
  EXPECT_EQ(body_of(client.read_answer()), "GET\n/../../etc//passwd\n\n");
}

TEST_F(HttpAttackTest, RequestLinesThatAreNone) {
  for (const char* line :
       {"GET /", "GET  / HTTP/1.1", "GET /  HTTP/1.1", "GET / HTTP/1.1 ", " GET / HTTP/1.1",
        "GET\t/\tHTTP/1.1", "GET / http/1.1", "GET / HTTP/1", "GET / HTTP/1.10", "GET / HTTP/11",
        "GET / HTTPS/1.1", "HTTP/1.1 200 OK", "/", "hello", "GET / HTTP/x.1"}) {
    expect_refused(std::string(line) + "\r\nHost: a\r\n\r\n", 400);
  }
}

TEST_F(HttpAttackTest, OtherVersions) {
  for (const char* version : {"2.0", "1.2", "0.9", "9.9", "0.0"}) {
    expect_refused("GET / HTTP/" + std::string(version) + "\r\nHost: a\r\n\r\n", 505);
  }
  expect_refused("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505);
}

TEST_F(HttpAttackTest, OtherMethods) {
  for (const char* method : {"TRACE", "CONNECT", "get", "PROPFIND", "GETT", "G", "QUERY", "G\xc3\xa4T"}) {
    expect_refused(std::string(method) + " / HTTP/1.1\r\nHost: a\r\n\r\n", 501);
  }
  expect_refused("CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 501);
}

TEST_F(HttpAttackTest, ContentEncodings) {
  for (const char* value : {"gzip", "br", "deflate", "identity, gzip", "GZIP", "zstd", "x"}) {
    expect_headers_refused("Content-Encoding: " + std::string(value) + "\r\nContent-Length: 5\r\n", 415);
  }
  expect_headers_refused("Content-Encoding: identity\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n",
                         415);
  TestClient client(server_.port());
  client.send(post("/", "hello", "Content-Encoding: Identity\r\n"));
  EXPECT_EQ(status_of(client.read_answer()), 200);
}

TEST_F(HttpAttackTest, OtherExpectations) {
  expect_headers_refused("Expect: 200-ok\r\nContent-Length: 5\r\n", 417);
  expect_headers_refused("Expect: 100-continue, other\r\nContent-Length: 5\r\n", 417);
}

TEST_F(HttpAttackTest, OtherProtocols) {
  expect_refused(std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11), 400);  // TLS
  expect_refused("SSH-2.0-OpenSSH_9.2\r\n", 400);
  expect_refused(std::string(1000, '\0'), 400);
  expect_refused("*1\r\n$4\r\nPING\r\n\r\n", 400);
}

TEST_F(HttpAttackTest, ClientsThatLeaveAnywhere) {
  const std::string request = post("/echo", "hello", "Expect: 100-continue\r\n");
  for (size_t n = 0; n <= request.size(); ++n) {
    TestClient closes(server_.port());
    closes.send(request.substr(0, n));
    closes.close();
    TestClient resets(server_.port());
    resets.send(request.substr(0, n));
    resets.reset();
  }
  EXPECT_TRUE(eventually([&] { return server_.n_connections() == 0; }));
}

// Every prefix of valid requests, and every byte of them changed in several ways, each on a connection of its
// own.
TEST_F(HttpAttackTest, PrefixesAndChangedBytesNeverHurt) {
  const std::string seeds[] = {
      post("/path?query=%20", "hello", "Content-Type: a/b\r\n"),
      "POST /p%41 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;e=f\r\nabc\r\n0\r\nT: u\r\n\r\n",
  };
  const auto exchange = [&](const std::string& bytes) {
    TestClient client(server_.port());
    client.send(bytes);
    client.shutdown_send();
    const std::string answer = client.read_all();
    EXPECT_TRUE(answer.empty() || status_of(answer) >= 200 || answer.starts_with("HTTP/1.1 100 "))
        << testing::PrintToString(bytes);
  };
  for (const std::string& seed : seeds) {
    for (size_t i = 0; i < seed.size(); ++i) {
      exchange(seed.substr(0, i));
      for (const char c : {'\0', '\r', '\n', ' ', ':', '%', 'f', '0', '9', '\x7f', '\x80', '\xff'}) {
        std::string changed = seed;
        changed[i] = c;
        exchange(changed);
      }
      std::string shorter = seed;
      exchange(shorter.erase(i, 1));
      std::string longer = seed;
      exchange(longer.insert(i, 1, seed[i]));
    }
  }
}

}  // namespace
}  // namespace lazyfill::server
