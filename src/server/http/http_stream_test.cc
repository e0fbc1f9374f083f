// Answers that come in pieces, and clients that leave in the middle of them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "server/http/http.h"
#include "server/http/test_server.h"

namespace lazyfill::server {
namespace {

using testing::HasSubstr;
using testing::Not;

// Replies that a test holds and answers by itself.
class Held {
 public:
  Handler handler() {
    return [this](const HttpRequest&, std::shared_ptr<Reply> reply) {
      std::lock_guard lock(mutex_);
      replies_.push_back(std::move(reply));
    };
  }
  std::shared_ptr<Reply> next() {
    std::shared_ptr<Reply> reply;
    EXPECT_TRUE(eventually([&] {
      std::lock_guard lock(mutex_);
      if (replies_.empty()) return false;
      reply = std::move(replies_.front());
      replies_.erase(replies_.begin());
      return true;
    }));
    return reply;
  }

 private:
  std::mutex mutex_;
  std::vector<std::shared_ptr<Reply>> replies_;
};

class HttpStreamTest : public testing::Test {
 protected:
  Held held_;
  HttpServer server_ = must_start(test_options(), nullptr, held_.handler());
  TestClient client_{server_.port()};
};

TEST_F(HttpStreamTest, HeadersAndPiecesGoOutAtOnce) {
  client_.send(get("/"));
  const auto reply = held_.next();
  reply->begin_stream(200, "text/event-stream", {{"Cache-Control", "no-store"}});
  const std::string head = client_.read_until("\r\n\r\n");
  EXPECT_THAT(head, HasSubstr("\r\nTransfer-Encoding: chunked\r\n"));
  EXPECT_THAT(head, HasSubstr("\r\nContent-Type: text/event-stream\r\n"));
  EXPECT_THAT(head, HasSubstr("\r\nCache-Control: no-store\r\n"));
  EXPECT_TRUE(reply->write("data: one\n\n"));
  EXPECT_EQ(client_.read_until("one\n\n\r\n"), "b\r\ndata: one\n\n\r\n");
  EXPECT_TRUE(reply->write(""));  // no end
  EXPECT_TRUE(reply->write("two"));
  EXPECT_EQ(client_.read_until("two\r\n"), "3\r\ntwo\r\n");
  reply->end();
  EXPECT_EQ(client_.read_until("0\r\n\r\n"), "0\r\n\r\n");
  EXPECT_FALSE(reply->write("late"));
  client_.send(get("/again"));
  held_.next()->send({200, "text/plain", "again", {}});
  EXPECT_EQ(body_of(client_.read_answer()), "again");
}

TEST_F(HttpStreamTest, Http10GetsPlainBytesUntilTheEnd) {
  client_.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  const auto reply = held_.next();
  reply->begin_stream(200, "text/plain", {});
  reply->write("one,");
  reply->write("two");
  reply->end();
  const std::string answer = client_.read_all();
  EXPECT_EQ(body_of(answer), "one,two");
  EXPECT_THAT(answer, Not(HasSubstr("chunked")));
  EXPECT_THAT(answer, HasSubstr("\r\nConnection: close\r\n"));
}

TEST_F(HttpStreamTest, HeadOfAStreamHasNoBody) {
  client_.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
  auto reply = held_.next();
  reply->begin_stream(200, "text/plain", {});
  EXPECT_TRUE(reply->write("invisible"));
  reply->end();
  client_.send(get("/"));
  held_.next()->send({200, "text/plain", "next", {}});
  EXPECT_THAT(client_.read_until("\r\n\r\n"), HasSubstr("chunked"));
  EXPECT_EQ(body_of(client_.read_answer()), "next");
}

TEST_F(HttpStreamTest, OnlyTheFirstAnswerCounts) {
  client_.send(get("/"));
  const auto reply = held_.next();
  EXPECT_FALSE(reply->write("before the head"));
  reply->end();
  reply->send({200, "text/plain", "first", {}});
  reply->send({200, "text/plain", "second", {}});
  reply->begin_stream(200, "text/plain", {});
  EXPECT_FALSE(reply->write("piece"));
  reply->end();
  EXPECT_EQ(body_of(client_.read_answer()), "first");
  client_.send(get("/"));
  held_.next()->send({200, "text/plain", "next", {}});
  EXPECT_EQ(body_of(client_.read_answer()), "next");
}

TEST_F(HttpStreamTest, AStreamThatIsDroppedIsCut) {
  client_.send(get("/"));
  auto reply = held_.next();
  reply->begin_stream(200, "text/plain", {});
  reply->write("half");
  EXPECT_THAT(client_.read_until("half\r\n"), HasSubstr("half"));
  reply.reset();
  EXPECT_EQ(client_.read_all(), "");
}

TEST_F(HttpStreamTest, AClientThatLeavesIsNoticedWhileNothingIsWritten) {
  for (const bool resets : {false, true}) {
    for (const bool has_begun : {false, true}) {
      TestClient client(server_.port());
      client.send(get("/"));
      const auto reply = held_.next();
      if (has_begun) {
        reply->begin_stream(200, "text/plain", {});
        client.read_until("\r\n\r\n");
      }
      EXPECT_FALSE(reply->gone().stop_requested());
      resets ? client.reset() : client.close();
      EXPECT_TRUE(eventually([&] { return reply->gone().stop_requested(); }));
      EXPECT_FALSE(reply->write("piece"));
    }
  }
}

TEST_F(HttpStreamTest, AClientThatLeavesIsNoticedWhileItIsWrittenTo) {
  client_.send(get("/"));
  const auto reply = held_.next();
  reply->begin_stream(200, "text/plain", {});
  client_.read_until("\r\n\r\n");
  std::jthread closer([&] { client_.reset(); });
  EXPECT_TRUE(eventually([&] { return !reply->write("piece"); }));
  EXPECT_TRUE(eventually([&] { return reply->gone().stop_requested(); }));
}

TEST_F(HttpStreamTest, AnAnswerThatHasEndedIsNotStopped) {
  client_.send(get("/"));
  const auto reply = held_.next();
  reply->send({200, "text/plain", "whole", {}});
  client_.read_answer();
  client_.close();
  EXPECT_TRUE(eventually([&] { return server_.n_connections() == 0; }));
  EXPECT_FALSE(reply->gone().stop_requested());
}

TEST_F(HttpStreamTest, ASlowReaderIsCut) {
  TestClient client(server_.port(), 4096);
  client.send(get("/"));
  const auto reply = held_.next();
  reply->begin_stream(200, "text/plain", {});
  const std::string piece(10'000, 'x');
  size_t n_taken = 0;
  while (reply->write(piece)) {
    n_taken += piece.size();
    ASSERT_LT(n_taken, 1U << 30);
  }
  EXPECT_GE(n_taken, (1U << 20) - piece.size());  // max_waiting_bytes at least
  EXPECT_TRUE(eventually([&] { return reply->gone().stop_requested(); }));
  EXPECT_FALSE(reply->write("piece"));
  EXPECT_TRUE(eventually([&] { return server_.n_connections() == 1; }));  // client_
}

TEST(HttpSlowReaderTest, WhoTakesNothingOfAWholeAnswerIsCut) {
  HttpOptions options = test_options();
  options.write_timeout = std::chrono::milliseconds(200);
  std::atomic<bool> has_answered = false;
  const HttpServer server = must_start(options, nullptr, [&](const HttpRequest&, const auto& reply) {
    reply->send({200, "text/plain", std::string(50 << 20, 'x'), {}});
    has_answered = true;
  });
  TestClient client(server.port(), 4096);
  client.send(get("/"));
  EXPECT_TRUE(eventually([&] { return has_answered.load(); }));
  EXPECT_TRUE(eventually([&] { return server.n_connections() == 0; }));
}

TEST_F(HttpStreamTest, TwoHundredStreamsNeedTwoWorkers) {
  constexpr size_t kStreams = 200;
  std::vector<TestClient> clients;
  std::vector<std::shared_ptr<Reply>> replies;
  for (size_t i = 0; i < kStreams; ++i) {
    clients.emplace_back(server_.port()).send(get("/"));
    replies.push_back(held_.next());  // of this client
    replies.back()->begin_stream(200, "text/plain", {});
  }
  for (int round = 0; round < 3; ++round) {
    for (size_t i = 0; i < kStreams; ++i) EXPECT_TRUE(replies[i]->write(std::to_string(i) + ","));
  }
  for (const auto& reply : replies) reply->end();
  for (size_t i = 0; i < kStreams; ++i) {
    const std::string number = std::to_string(i) + ",";
    EXPECT_EQ(unchunked(body_of(clients[i].read_until("0\r\n\r\n"))), number + number + number);
  }
}

TEST_F(HttpStreamTest, PiecesOfManyThreadsStayWhole) {
  client_.send(get("/"));
  const auto reply = held_.next();
  reply->begin_stream(200, "text/plain", {});
  {
    std::vector<std::jthread> writers;
    for (int i = 0; i < 4; ++i) {
      writers.emplace_back([&] {
        for (int k = 0; k < 500; ++k) reply->write("[piece]");
      });
    }
  }
  reply->end();
  std::string expected;
  for (int i = 0; i < 2000; ++i) expected += "[piece]";
  client_.read_until("\r\n\r\n");
  EXPECT_EQ(unchunked(client_.read_until("\r\n0\r\n\r\n")), expected);
}

// A client leaves at any time around the end of its answer.
TEST_F(HttpStreamTest, LeavingRacesWithFinishing) {
  for (int i = 0; i < 300; ++i) {
    TestClient client(server_.port());
    client.send(get("/"));
    auto reply = held_.next();
    std::atomic<int> n_stops = 0;
    const std::stop_callback count(reply->gone(), [&] { ++n_stops; });
    std::jthread leaver([&] { i % 2 ? client.reset() : client.close(); });
    reply->begin_stream(200, "text/plain", {});
    reply->write("piece");
    if (i % 3 == 0) reply->end();
    if (i % 3 == 1) reply.reset();
    leaver.join();
    if (i % 3 == 2) {
      EXPECT_TRUE(eventually([&] { return n_stops == 1; }));
    }
    EXPECT_LE(n_stops, 1);
  }
  EXPECT_TRUE(eventually([&] { return server_.n_connections() == 1; }));
}

}  // namespace
}  // namespace lazyfill::server
