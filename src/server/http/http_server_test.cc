// What every client relies on, over real sockets.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "server/http/http.h"
#include "server/http/test_server.h"

namespace lazyfill::server {
namespace {

using testing::HasSubstr;
using testing::Not;

class HttpServerTest : public testing::Test {
 protected:
  HttpServer server_ = must_start(test_options(), nullptr, echo);
  TestClient client_{server_.port()};
};

TEST_F(HttpServerTest, AnswersAGet) {
  client_.send(get("/models?limit=3"));
  const std::string answer = client_.read_answer();
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 200 OK\r\n")) << answer;
  EXPECT_THAT(answer, HasSubstr("\r\nContent-Type: text/plain\r\n"));
  EXPECT_THAT(answer, HasSubstr("\r\nX-Content-Type-Options: nosniff\r\n"));
  EXPECT_THAT(answer,
              testing::ContainsRegex("\r\nDate: [A-Z][a-z]+, [0-9]+ [A-Z][a-z]+ [0-9]+ [0-9:]+ GMT\r\n"));
  EXPECT_THAT(answer, Not(HasSubstr("Connection:")));
  EXPECT_EQ(body_of(answer), "GET\n/models\nlimit=3\n");
}

TEST_F(HttpServerTest, ReadsABodyByLengthInAnyPieces) {
  const std::string request = post("/echo", "hello, world");
  for (const char c : request) ASSERT_TRUE(client_.send(std::string(1, c)));
  EXPECT_EQ(body_of(client_.read_answer()), "POST\n/echo\n\nhello, world");
}

TEST_F(HttpServerTest, ReadsABodyInChunksInAnyPieces) {
  const std::string request =
      "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n"
      "5\r\nhello\r\n00A;name=\"value\"\r\n, chunked \r\n5\r\nworld\r\n0\r\nTrailer: dropped\r\n\r\n";
  for (const char c : request) ASSERT_TRUE(client_.send(std::string(1, c)));
  EXPECT_EQ(body_of(client_.read_answer()), "POST\n/echo\n\nhello, chunked world");
  client_.send(request + request);
  EXPECT_EQ(body_of(client_.read_answer()), "POST\n/echo\n\nhello, chunked world");
  EXPECT_EQ(body_of(client_.read_answer()), "POST\n/echo\n\nhello, chunked world");
}

TEST_F(HttpServerTest, ReadsALargeBody) {
  const std::string body(5 << 20, 'x');
  client_.send(post("/echo", body));
  EXPECT_EQ(body_of(client_.read_answer()), "POST\n/echo\n\n" + body);
}

TEST_F(HttpServerTest, AnswersPipelinedRequestsInOrder) {
  std::string requests;
  const auto path = [](int i) { return std::string("/").append(std::to_string(i)); };
  for (int i = 0; i < 500; ++i) requests += i % 2 ? post(path(i), "body") : get(path(i));
  std::thread sender([&] { client_.send(requests); });
  for (int i = 0; i < 500; ++i) {
    EXPECT_EQ(body_of(client_.read_answer()),
              i % 2 ? "POST\n" + path(i) + "\n\nbody" : "GET\n" + path(i) + "\n\n");
  }
  sender.join();
}

TEST_F(HttpServerTest, ClosesWhenAsked) {
  client_.send(get("/last", "Connection: close\r\n") + get("/never"));
  const std::string answer = client_.read_all();
  EXPECT_THAT(answer, HasSubstr("\r\nConnection: close\r\n"));
  EXPECT_THAT(answer, Not(HasSubstr("/never")));
}

TEST_F(HttpServerTest, SpeaksHttp10) {
  client_.send("GET /old HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /old HTTP/1.0\r\n\r\n");
  const std::string first = client_.read_answer();
  EXPECT_THAT(first, HasSubstr("\r\nConnection: keep-alive\r\n"));
  const std::string second = client_.read_all();
  EXPECT_THAT(second, HasSubstr("\r\nConnection: close\r\n"));
  EXPECT_EQ(body_of(second), "GET\n/old\n\n");
}

TEST_F(HttpServerTest, HeadHasTheLengthAndNoBody) {
  client_.send("HEAD /path HTTP/1.1\r\nHost: a\r\n\r\n" + get("/next"));
  const std::string answer = client_.read_until("\r\n\r\n");
  EXPECT_THAT(answer, HasSubstr("\r\nContent-Length: 12\r\n"));
  EXPECT_TRUE(client_.read_answer().starts_with("HTTP/1.1 200"));
}

TEST_F(HttpServerTest, ContinuesWhenTheClientWaitsForThat) {
  client_.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-Continue\r\n\r\n");
  EXPECT_EQ(client_.read_until("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  client_.send("body");
  EXPECT_EQ(body_of(client_.read_answer()), "POST\n/echo\n\nbody");
}

TEST_F(HttpServerTest, KnowsTheFormsOfTargets) {
  const std::pair<std::string, std::string> cases[] = {
      {"GET /a%20b%2Fc?d=%20 HTTP/1.1\r\nHost: h:1\r\n\r\n", "GET\n/a b/c\nd=%20\n"},
      {"GET http://h:1/path?q HTTP/1.1\r\nHost: h:1\r\n\r\n", "GET\n/path\nq\n"},
      {"GET HTTP://H HTTP/1.1\r\nHost: h\r\n\r\n", "GET\n/\n\n"},
      {"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", "OPTIONS\n*\n\n"},
      {"GET /? HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", "GET\n/\n\n"},
      {"\r\nGET /after_a_blank_line HTTP/1.1\r\nHost: h\r\n\r\n", "GET\n/after_a_blank_line\n\n"},
  };
  for (const auto& [request, expected] : cases) {
    client_.send(request);
    EXPECT_EQ(body_of(client_.read_answer()), expected) << request;
  }
}

TEST_F(HttpServerTest, AnswersAClientThatHasClosedItsHalf) {
  client_.send(get("/half"));
  client_.shutdown_send();
  EXPECT_EQ(body_of(client_.read_all()), "GET\n/half\n\n");
}

TEST_F(HttpServerTest, CountsConnections) {
  client_.send(get("/"));
  client_.read_answer();
  EXPECT_EQ(server_.n_connections(), 1U);
  client_.close();
  EXPECT_TRUE(eventually([&] { return server_.n_connections() == 0; }));
}

TEST(HttpHandlerTest, HeadersAreFoundInAnyCase) {
  const HttpServer server =
      must_start(test_options(), nullptr, [](const HttpRequest& request, const auto& reply) {
        const std::string* value = request.header("x-KEY");
        reply->send({200, "text/plain", (value ? *value : "none") + " " + request.peer, {{"X-Own", "yes"}}});
      });
  TestClient client(server.port());
  client.send(get("/", "X-Key:  secret \r\n"));
  const std::string answer = client.read_answer();
  EXPECT_EQ(body_of(answer), "secret 127.0.0.1");
  EXPECT_THAT(answer, HasSubstr("\r\nX-Own: yes\r\n"));
}

TEST(HttpHandlerTest, ExceptionsAndDroppedRepliesBecome500) {
  const HttpServer server = must_start(test_options(), nullptr, [](const HttpRequest& request, const auto&) {
    if (request.path == "/throw") throw std::runtime_error("a secret");
  });
  TestClient client(server.port());
  for (const char* path : {"/throw", "/drop", "/throw"}) {
    client.send(get(path));
    const std::string answer = client.read_answer();
    EXPECT_EQ(status_of(answer), 500);
    EXPECT_THAT(answer, Not(HasSubstr("secret")));
    EXPECT_THAT(answer, HasSubstr(R"("type":"server_error")"));
  }
}

TEST(HttpHandlerTest, HeadersThatWouldBreakOutBecome500) {
  const std::vector<Header> bad[] = {{{"X-A", "a\r\nX-B: b"}},
                                     {{"X-A", "a\nb"}},
                                     {{"X-A", std::string("a\0b", 3)}},
                                     {{"X-A: a\r\nX-B", "b"}},
                                     {{"", "b"}},
                                     {{"Content-Length", "1"}},
                                     {{"X Y", "b"}},
                                     {{"transfer-encoding", "x"}}};
  for (const bool streams : {false, true}) {
    for (const auto& headers : bad) {
      const HttpServer server =
          must_start(test_options(), nullptr, [&](const HttpRequest&, const auto& reply) {
            if (!streams) return reply->send({200, "text/plain", "fine", headers});
            reply->begin_stream(200, "text/plain", headers);
            reply->write("fine");
            reply->end();
          });
      TestClient client(server.port());
      client.send(get("/", "Connection: close\r\n"));
      const std::string answer = client.read_all();
      EXPECT_EQ(status_of(answer), 500);
      EXPECT_THAT(answer, Not(HasSubstr("X-B")));
      EXPECT_THAT(answer, Not(HasSubstr("fine")));
    }
  }
}

TEST(HttpHandlerTest, AReplyMayComeFromAnotherThreadAndLater) {
  std::vector<std::jthread> threads;
  std::mutex mutex;
  const HttpServer server =
      must_start(test_options(), nullptr, [&](HttpRequest request, std::shared_ptr<Reply> reply) {
        std::lock_guard lock(mutex);
        threads.emplace_back(
            [request = std::move(request), reply = std::move(reply)] { echo(request, reply); });
      });
  TestClient client(server.port());
  for (int i = 0; i < 20; ++i) {
    client.send(get("/later"));
    EXPECT_EQ(body_of(client.read_answer()), "GET\n/later\n\n");
  }
}

TEST(HttpGateTest, RefusesBeforeTheBodyIsRead) {
  const Gate gate = [](const HttpRequest& head) -> std::optional<HttpResponse> {
    if (head.header("Authorization")) return std::nullopt;
    return HttpResponse{401, "application/json", "{}", {{"WWW-Authenticate", "Bearer"}}};
  };
  const HttpServer server = must_start(test_options(), gate, echo);
  TestClient client(server.port());
  client.send(get("/kept") + get("/kept", "Authorization: x\r\n"));
  EXPECT_EQ(status_of(client.read_answer()), 401);
  EXPECT_EQ(body_of(client.read_answer()), "GET\n/kept\n\n");
  // No "100 Continue", and the connection ends: what follows would be the body.
  client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\nExpect: 100-continue\r\n\r\n");
  const std::string answer = client.read_all();
  EXPECT_EQ(status_of(answer), 401);
  EXPECT_THAT(answer, HasSubstr("\r\nConnection: close\r\n"));
}

TEST(HttpGateTest, AnExceptionIsA500) {
  const HttpServer server = must_start(
      test_options(),
      [](const HttpRequest&) -> std::optional<HttpResponse> { throw std::runtime_error("x"); }, echo);
  TestClient client(server.port());
  client.send(get("/"));
  EXPECT_EQ(status_of(client.read_answer()), 500);
}

}  // namespace
}  // namespace lazyfill::server
