// Limits of time and number, with small ones, and how a server ends.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "server/http/http.h"
#include "server/http/test_server.h"

namespace lazyfill::server {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;

// Long enough that a test which is held up by a busy machine still speaks in time.
constexpr milliseconds kShort{500};
constexpr milliseconds kNever{600'000};

// No limit of time but those that a test sets.
HttpOptions patient_options() {
  HttpOptions options = test_options();
  options.header_timeout = options.body_timeout = options.idle_timeout = options.write_timeout = kNever;
  options.linger_timeout = kShort;
  options.stop_timeout = kNever;
  return options;
}

TEST(HttpTimeTest, WhoSaysNothingIsClosed) {
  HttpOptions options = patient_options();
  options.header_timeout = kShort;
  const HttpServer server = must_start(options, nullptr, echo);
  TestClient client(server.port());
  EXPECT_EQ(client.read_all(), "");
}

TEST(HttpTimeTest, SlowHeadersEnd) {
  HttpOptions options = patient_options();
  options.header_timeout = kShort;
  const HttpServer server = must_start(options, nullptr, echo);
  TestClient client(server.port());
  client.send("GET / HTTP/1.1\r\nHost: a\r\n");
  while (client.send("X: x\r\n")) usleep(5000);  // the time is that of the whole head
  TestClient second(server.port());
  second.send(get("/") + "GET / HT");  // on a connection that has been in use, too
  EXPECT_EQ(status_of(second.read_answer()), 200);
  EXPECT_EQ(status_of(second.read_all()), 408);
}

TEST(HttpTimeTest, BodiesSlowerThanTheRateEnd) {
  HttpOptions options = patient_options();
  options.header_timeout = kShort;
  options.min_bytes_per_s = 1'000'000;
  const HttpServer server = must_start(options, nullptr, echo);
  TestClient client(server.port());
  client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
  while (client.send("x")) usleep(5000);
  TestClient silent(server.port());
  silent.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhell");
  EXPECT_EQ(status_of(silent.read_all()), 408);
}

TEST(HttpTimeTest, BodiesHaveALimitOfAllTheirTime) {
  HttpOptions options = patient_options();
  options.body_timeout = kShort;
  const HttpServer server = must_start(options, nullptr, echo);
  TestClient client(server.port());
  client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
  while (client.send("1\r\nx\r\n")) usleep(5000);
  TestClient silent(server.port());
  silent.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_THAT(silent.read_all(), HasSubstr("\r\n\r\nHTTP/1.1 408 "));
}

TEST(HttpTimeTest, IdleConnectionsEnd) {
  HttpOptions options = patient_options();
  options.idle_timeout = kShort;
  const HttpServer server = must_start(options, nullptr, echo);
  TestClient client(server.port());
  client.send(get("/"));
  EXPECT_EQ(status_of(client.read_answer()), 200);
  EXPECT_EQ(client.read_all(), "");
}

TEST(HttpTimeTest, AnswersMayTakeAnyTime) {
  HttpOptions options = test_options();
  options.header_timeout = options.body_timeout = options.idle_timeout = options.write_timeout = kShort;
  const HttpServer server = must_start(options, nullptr, [](const HttpRequest&, const auto& reply) {
    reply->begin_stream(200, "text/plain", {});
    std::this_thread::sleep_for(2 * kShort);
    EXPECT_TRUE(reply->write("late"));
    reply->end();
  });
  TestClient client(server.port());
  client.send(post("/", "body"));
  EXPECT_THAT(client.read_until("0\r\n\r\n"), HasSubstr("late"));
}

TEST(HttpTimeTest, ARefusedClientCannotSendForEver) {
  HttpOptions options = patient_options();
  const HttpServer server = must_start(options, nullptr, echo);
  TestClient client(server.port());
  client.send("garbage\r\n\r\n");
  const std::string more(1000, 'x');
  while (client.send(more)) usleep(1000);
  EXPECT_TRUE(eventually([&] { return server.n_connections() == 0; }));
}

TEST(HttpNumberTest, RequestsOfAConnection) {
  HttpOptions options = patient_options();
  options.max_requests = 3;
  const HttpServer server = must_start(options, nullptr, echo);
  TestClient client(server.port());
  client.send(get("/1") + get("/2") + get("/3") + get("/4"));
  EXPECT_EQ(body_of(client.read_answer()), "GET\n/1\n\n");
  EXPECT_EQ(body_of(client.read_answer()), "GET\n/2\n\n");
  const std::string last = client.read_all();
  EXPECT_THAT(last, HasSubstr("\r\nConnection: close\r\n"));
  EXPECT_EQ(body_of(last), "GET\n/3\n\n");
}

TEST(HttpNumberTest, ConnectionsThatAreBusyKeepOthersOut) {
  HttpOptions options = patient_options();
  options.max_connections = 2;
  std::atomic<int> n_asked = 0;
  std::atomic<bool> may_answer = false;
  const HttpServer server = must_start(options, nullptr, [&](const HttpRequest& request, const auto& reply) {
    ++n_asked;
    while (!may_answer) usleep(1000);
    echo(request, reply);
  });
  TestClient first(server.port());
  TestClient second(server.port());
  first.send(get("/"));
  second.send(get("/"));
  EXPECT_TRUE(eventually([&] { return n_asked == 2; }));
  TestClient third(server.port());
  third.send(get("/"));
  EXPECT_EQ(third.read_all(), "");
  may_answer = true;
  EXPECT_EQ(status_of(first.read_answer()), 200);
  EXPECT_EQ(status_of(second.read_answer()), 200);
  EXPECT_EQ(n_asked, 2);
}

TEST(HttpNumberTest, IdleConnectionsMakeRoom) {
  HttpOptions options = patient_options();
  options.max_connections = 10;
  const HttpServer server = must_start(options, nullptr, echo);
  std::vector<TestClient> idle;
  for (int i = 0; i < 50; ++i) idle.emplace_back(server.port());
  TestClient client(server.port());
  client.send(get("/"));
  EXPECT_EQ(status_of(client.read_answer()), 200);
  EXPECT_LE(server.n_connections(), 10U);
  EXPECT_EQ(idle.front().read_all(), "");
}

TEST(HttpNumberTest, SlowClientsMakeRoom) {
  HttpOptions options = patient_options();
  options.max_connections = 10;
  const HttpServer server = must_start(options, nullptr, echo);
  std::vector<TestClient> slow;
  for (int i = 0; i < 50; ++i) slow.emplace_back(server.port()).send("GET / HTTP/1.1\r\nHost: a\r\n");
  TestClient client(server.port());
  client.send(get("/"));
  EXPECT_EQ(status_of(client.read_answer()), 200);
  EXPECT_LE(server.n_connections(), 10U);
  // Bodies, too, if they trickle.
  const HttpServer other = must_start(options, nullptr, echo);
  for (int i = 0; i < 10; ++i)
    slow.emplace_back(other.port()).send(post("/", "body").substr(0, post("/", "").size() + 1));
  EXPECT_TRUE(eventually([&] {
    TestClient next(other.port());
    return next.send(get("/")) && status_of(next.read_answer()) == 200;
  }));
}

TEST(HttpNumberTest, BodiesOfAllClientsTogether) {
  HttpOptions options = patient_options();
  options.max_bodies_bytes = 50'000;
  const HttpServer server = must_start(options, nullptr, echo);
  const std::string body(40'000, 'x');
  const std::string begun = post("/", body).substr(0, post("/", body).size() - 1);
  TestClient first(server.port());
  TestClient second(server.port());
  first.send(begun);
  second.send(begun);
  ASSERT_TRUE(eventually([&] { return first.has_answer() || second.has_answer(); }));
  TestClient& refused = first.has_answer() ? first : second;
  TestClient& going_on = first.has_answer() ? second : first;
  EXPECT_EQ(status_of(refused.read_all()), 503);
  going_on.send("x");
  EXPECT_EQ(status_of(going_on.read_answer()), 200);
  for (int i = 0; i < 5; ++i) {  // nothing is left in the sum
    going_on.send(post("/", body));
    EXPECT_EQ(status_of(going_on.read_answer()), 200);
  }
}

class HttpShutdownTest : public testing::Test {
 protected:
  HttpOptions options_ = patient_options();
  std::atomic<int> n_stopped_ = 0;
  // Streams until it is stopped, then says goodbye.
  Handler until_stopped_ = [this](const HttpRequest&, const std::shared_ptr<Reply>& reply) {
    reply->begin_stream(200, "text/plain", {});
    reply->write("begun");
    while (!reply->gone().stop_requested()) usleep(1000);
    ++n_stopped_;
    reply->write("goodbye");
    reply->end();
  };
};

TEST_F(HttpShutdownTest, StreamsThatEndInTimeEndProperly) {
  std::atomic<bool> may_end = false;
  HttpServer server = must_start(options_, nullptr, [&](const HttpRequest&, const auto& reply) {
    reply->begin_stream(200, "text/plain", {});
    reply->write("begun,");
    while (!may_end) usleep(1000);
    reply->write("ended");
    reply->end();
  });
  TestClient client(server.port());
  TestClient idle(server.port());
  client.send(get("/"));
  client.read_until("begun,\r\n");
  EXPECT_TRUE(eventually([&] { return server.n_connections() == 2; }));
  server.stop_accepting();
  EXPECT_EQ(idle.read_all(), "");
  std::jthread stopper([&] { server.shutdown(kNever); });
  may_end = true;
  EXPECT_EQ(unchunked(client.read_all()), "ended");
}

TEST_F(HttpShutdownTest, StreamsThatAreStoppedMaySayGoodbye) {
  options_.n_threads = 3;
  HttpServer server = must_start(options_, nullptr, until_stopped_);
  std::vector<TestClient> clients;
  for (int i = 0; i < 3; ++i) {
    clients.emplace_back(server.port()).send(get("/"));
    clients.back().read_until("begun\r\n");
  }
  server.shutdown(milliseconds(10));
  EXPECT_EQ(n_stopped_, 3);
  for (TestClient& client : clients) EXPECT_EQ(unchunked(client.read_all()), "goodbye");
  EXPECT_EQ(server.n_connections(), 0U);
  server.shutdown(milliseconds(10));  // nothing is left to do
}

TEST_F(HttpShutdownTest, NobodyWaitsForHalfRequests) {
  HttpServer server = must_start(options_, nullptr, echo);
  TestClient head(server.port());
  TestClient body(server.port());
  head.send("GET / HT");
  body.send(post("/", "body").substr(0, post("/", "").size()));
  EXPECT_TRUE(eventually([&] { return server.n_connections() == 2; }));
  server.shutdown(milliseconds(10));  // no limit of time in these options would end them
  EXPECT_EQ(head.read_all() + body.read_all(), "");
}

TEST_F(HttpShutdownTest, WhatDoesNotEndIsCut) {
  options_.stop_timeout = kShort;
  std::shared_ptr<Reply> kept;
  {
    HttpServer server = must_start(options_, nullptr, [&](const HttpRequest&, std::shared_ptr<Reply> reply) {
      reply->begin_stream(200, "text/plain", {});
      reply->write("begun");
      kept = std::move(reply);
    });
    TestClient client(server.port());
    client.send(get("/"));
    client.read_until("begun\r\n");
    server.shutdown(milliseconds(10));
    EXPECT_EQ(client.read_all(), "");
    EXPECT_TRUE(kept->gone().stop_requested());
    EXPECT_FALSE(kept->write("piece"));
  }
  EXPECT_FALSE(kept->write("piece"));  // a reply may outlive its server
  kept->end();
  kept.reset();
}

TEST_F(HttpShutdownTest, AServerMayBeDroppedAtAnyTime) {
  options_.stop_timeout = kShort;
  for (int i = 0; i < 20; ++i) {
    const HttpServer server = must_start(options_, nullptr, i % 2 ? until_stopped_ : echo);
    std::vector<TestClient> clients;
    for (int k = 0; k < 10; ++k) {
      clients.emplace_back(server.port())
          .send(k % 3 ? get("/") : post("/", "body").substr(0, static_cast<size_t>(10 * k)));
    }
    usleep(static_cast<useconds_t>(500 * i));
  }
}

}  // namespace
}  // namespace lazyfill::server
