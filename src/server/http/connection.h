// One connection: requests in, one after another, and answers out. All of it runs on the server's one thread
// for connections; other threads come in through a Channel.
#pragma once

#include <array>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "server/http/channel.h"
#include "server/http/request_body.h"
#include "server/http/request_head.h"
#include "server/http/transport.h"

namespace lazyfill::server {

// What the connections of a server share.
struct ConnectionHost {
  HttpOptions options;
  Gate gate;
  std::function<void(HttpRequest, std::shared_ptr<Reply>)> run_handler;  // on a worker
  std::function<void(Connection&)> on_closed;
  bool is_stopping = false;
  size_t n_body_bytes = 0;  // of all bodies that are being read
};

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  using Clock = std::chrono::steady_clock;

  Connection(ConnectionHost& host, boost::asio::any_io_executor executor,
             std::unique_ptr<Transport> transport, std::string peer);

  void start();
  const boost::asio::any_io_executor& executor() const { return executor_; }

  // What replies ask for.
  void take_steps(const std::shared_ptr<Channel>& channel);
  void answer(HttpResponse response);
  void begin_stream(HttpResponse head);
  void write(std::string piece);
  void end_stream();

  void close();  // at once; what has not been answered is told so
  void close_if_idle();
  void request_stop();  // whoever answers is asked to come to an end; where nobody does, it closes
  // Since when it has been waiting for its client, if it may be given up for one who asks: not while somebody
  // answers.
  std::optional<Clock::time_point> spare_since() const;

 private:
  enum class State { kHandshake, kHead, kBody, kAnswering, kLingering, kClosed };
  struct Piece {
    std::string bytes;
    size_t n_counted = 0;  // by the channel
  };

  void read();
  void on_read(const boost::system::error_code& error, size_t n_bytes);
  void on_read_end();
  void advance();
  void begin_head();
  void advance_head();
  void on_head(RequestHead head);
  void advance_body();
  void dispatch();
  void refuse(const Refusal& refusal);
  void push(std::string bytes, size_t n_counted = 0);
  void flush();
  void on_written(const boost::system::error_code& error, size_t n_bytes);
  void after_answer();
  void linger();
  void drop_body();
  void set_deadline(Clock::time_point deadline);
  void wait_for_deadline();
  void on_deadline();
  template <class F>
  auto guarded(F&& f);

  ConnectionHost& host_;
  const boost::asio::any_io_executor executor_;
  const std::unique_ptr<Transport> transport_;
  const std::string peer_;
  State state_ = State::kHandshake;

  // What arrives.
  std::array<char, 16384> read_space_;
  std::string in_;
  bool is_reading_ = false;
  bool has_read_end_ = false;
  HeadScanner scanner_;
  bool has_started_ = false;  // the request at hand: its first byte is there
  bool has_skipped_line_ = false;
  std::optional<RequestHead> head_;
  std::optional<BodyReader> body_;
  size_t n_body_bytes_ = 0;  // of this connection in the host's sum
  size_t n_requests_ = 0;
  Clock::time_point since_;  // when the state began, or the head that is arriving

  // What leaves.
  std::shared_ptr<Channel> channel_;
  std::deque<Piece> out_;
  size_t n_first_written_ = 0;    // of the first piece of out_
  size_t n_backlog_written_ = 0;  // since out_ was empty
  Clock::time_point backlog_since_;
  bool is_writing_ = false;
  bool keeps_alive_ = false;
  bool is_chunked_ = false;
  bool is_head_only_ = false;
  bool has_ended_ = false;  // the answer: nothing more will be pushed

  boost::asio::steady_timer timer_;
  Clock::time_point deadline_ = Clock::time_point::max();
  Clock::time_point timer_at_ =
      Clock::time_point::max();  // what the timer waits for; never later than the deadline
};

}  // namespace lazyfill::server
