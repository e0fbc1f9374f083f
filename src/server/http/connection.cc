#include "server/http/connection.h"

#include <algorithm>
#include <cstdio>
#include <exception>
#include <utility>

#include "server/http/response_head.h"

namespace lazyfill::server {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;
using std::chrono::milliseconds;

constexpr size_t kMaxBuffers = 16;  // of one call of the system

// When connections run out, bodies that take longer than this and are slower than so many times the least
// rate go first.
constexpr milliseconds kSpareAfter{1000};
constexpr size_t kSpareRate = 16;

milliseconds time_for(size_t n_bytes, size_t bytes_per_s) {
  return milliseconds(n_bytes * 1000 / std::max<size_t>(bytes_per_s, 1));
}

}  // namespace

Connection::Connection(ConnectionHost& host, asio::any_io_executor executor,
                       std::unique_ptr<Transport> transport, std::string peer)
    : host_(host),
      executor_(std::move(executor)),
      transport_(std::move(transport)),
      peer_(std::move(peer)),
      timer_(executor_) {}

// A callback that keeps the connection and does not let exceptions (memory has run out) take the other
// connections along.
template <class F>
auto Connection::guarded(F&& f) {
  return [self = shared_from_this(), f = std::forward<F>(f)](auto&&... arguments) {
    try {
      f(std::forward<decltype(arguments)>(arguments)...);
    } catch (const std::exception&) {
      self->close();
    }
  };
}

void Connection::start() {
  since_ = Clock::now();
  set_deadline(since_ + host_.options.header_timeout);
  transport_->handshake(guarded([this](const error_code& error) {
    if (state_ != State::kHandshake) return;
    if (error) return close();
    begin_head();
  }));
}

// --- Reading
// -----------------------------------------------------------------------------------------------------------

void Connection::read() {
  if (is_reading_ || has_read_end_ || state_ == State::kClosed) return;
  is_reading_ = true;
  transport_->read_some(asio::buffer(read_space_),
                        guarded([this](const error_code& error, size_t n) { on_read(error, n); }));
}

void Connection::on_read(const error_code& error, size_t n_bytes) {
  is_reading_ = false;
  if (state_ == State::kClosed) return;
  if (error) return on_read_end();
  if (state_ != State::kLingering) in_.append(read_space_.data(), n_bytes);
  advance();
}

// The other side has gone, or will send no more: some clients close their half of the connection behind a
// request. They get an answer that comes, but nobody goes on computing for them.
void Connection::on_read_end() {
  has_read_end_ = true;
  if (state_ != State::kAnswering) return close();
  keeps_alive_ = false;
  if (const auto channel = channel_) channel->note_gone();
}

void Connection::advance() {
  switch (state_) {
    case State::kHead:
      return advance_head();
    case State::kBody:
      return advance_body();
    case State::kAnswering:
      // Reading goes on, so that a client that leaves is noticed. What it sends ahead waits, up to a limit.
      if (in_.size() < host_.options.max_header_bytes) read();
      return;
    case State::kLingering:
      return read();
    default:
      return;
  }
}

void Connection::begin_head() {
  if (host_.is_stopping) return close();
  state_ = State::kHead;
  since_ = Clock::now();
  scanner_.reset();
  has_started_ = has_skipped_line_ = false;
  // Whoever connects and says nothing has the time of a request's head, whoever has asked before may think
  // longer.
  set_deadline(since_ + (n_requests_ == 0 ? host_.options.header_timeout : host_.options.idle_timeout));
  advance();
}

void Connection::advance_head() {
  size_t n_head = 0;
  while (true) {
    if (in_.empty()) return read();
    if (!has_started_) {
      has_started_ = true;
      since_ = Clock::now();
      set_deadline(since_ + host_.options.header_timeout);
    }
    const auto found = scanner_.scan(in_);
    if (!found) return refuse(found.error());
    if (found->value_or(in_.size()) > host_.options.max_header_bytes) {
      return refuse({431, "The head of the request is larger than this server takes."});
    }
    if (!*found) return read();
    if (**found > 2) {
      n_head = **found;
      break;
    }
    if (has_skipped_line_) return refuse({400, "The head of the request is malformed."});
    has_skipped_line_ = true;  // some old clients end a body with a line end that does not belong to it
    in_.erase(0, 2);
    scanner_.reset();
  }
  auto head = parse_head(std::string_view(in_).substr(0, n_head), host_.options.max_headers);
  if (!head) return refuse(head.error());
  in_.erase(0, n_head);
  on_head(std::move(*head));
}

void Connection::on_head(RequestHead head) {
  head.request.peer = peer_;
  keeps_alive_ = head.keeps_alive && ++n_requests_ < host_.options.max_requests && !host_.is_stopping;
  is_head_only_ = head.request.method == "HEAD";
  head_ = std::move(head);
  std::optional<HttpResponse> refused;
  try {
    if (host_.gate) refused = host_.gate(head_->request);
  } catch (const std::exception&) {
    refused = to_response({500, "The server could not answer the request."});
  }
  if (!refused && head_->content_length > host_.options.max_body_bytes) {
    refused = to_response({413, "The body is larger than this server takes."});
  }
  if (refused) {
    if (head_->has_body()) keeps_alive_ = false;  // it has not been read
    state_ = State::kAnswering;
    return answer(std::move(*refused));
  }
  if (!head_->has_body()) return dispatch();
  state_ = State::kBody;
  since_ = Clock::now();
  body_.emplace(head_->is_chunked, head_->content_length, host_.options.max_body_bytes);
  if (head_->expects_continue && in_.empty()) {
    push("HTTP/1.1 100 Continue\r\n\r\n");
    flush();
  }
  advance_body();
}

void Connection::advance_body() {
  const auto n_taken = body_->take(in_);
  if (!n_taken) return refuse(n_taken.error());
  in_.erase(0, *n_taken);
  const size_t n_new = body_->body().size() - n_body_bytes_;
  n_body_bytes_ += n_new;
  host_.n_body_bytes += n_new;
  if (body_->is_done()) return dispatch();
  if (host_.n_body_bytes > host_.options.max_bodies_bytes) {
    return refuse({503, "The server is reading too many large requests; try again later."});
  }
  // Every byte buys time, up to the limit of all of it.
  const HttpOptions& o = host_.options;
  set_deadline(since_ +
               std::min(o.body_timeout, o.header_timeout + time_for(n_body_bytes_, o.min_bytes_per_s)));
  read();
}

void Connection::drop_body() {
  host_.n_body_bytes -= std::exchange(n_body_bytes_, 0);
  body_.reset();
}

void Connection::dispatch() {
  if (body_) head_->request.body = std::move(body_->body());
  drop_body();
  state_ = State::kAnswering;
  set_deadline(Clock::time_point::max());
  channel_ = std::make_shared<Channel>(shared_from_this(), host_.options.max_waiting_bytes);
  host_.run_handler(std::move(head_->request), make_reply(channel_));
  advance();
}

void Connection::refuse(const Refusal& refusal) {
  drop_body();
  keeps_alive_ = false;
  state_ = State::kAnswering;
  set_deadline(Clock::now() + host_.options.write_timeout);
  answer(to_response(refusal));
}

// --- Answering
// ---------------------------------------------------------------------------------------------------------

void Connection::take_steps(const std::shared_ptr<Channel>& channel) {
  guarded([&] {
    for (auto& step : channel->take()) {
      if (channel_ == channel) step(*this);
    }
    flush();
  })();
}

void Connection::answer(HttpResponse response) {
  if (!are_valid(response.headers, response.content_type, response.status)) {
    response = to_response({500, "The server could not answer the request."});
  }
  ResponseHead head{response.status, std::move(response.content_type), std::move(response.headers),
                    response.body.size()};
  head.keeps_alive = keeps_alive_;
  head.is_http10 = head_ && head_->is_http10;
  push(to_text(head));
  const bool has_no_body = is_head_only_ || response.status == 204 || response.status == 304;
  if (!has_no_body) push(std::move(response.body));
  has_ended_ = true;
  flush();
}

void Connection::begin_stream(HttpResponse response) {
  if (!are_valid(response.headers, response.content_type, response.status)) {
    return answer(to_response({500, "The server could not answer the request."}));
  }
  ResponseHead head{response.status, std::move(response.content_type), std::move(response.headers)};
  head.is_http10 = head_->is_http10;
  is_chunked_ = !head.is_http10;
  if (!is_chunked_) keeps_alive_ = false;
  head.keeps_alive = keeps_alive_;
  push(to_text(head));
  if (head.status == 204 || head.status == 304) is_head_only_ = true;
}

void Connection::write(std::string piece) {
  const size_t n_counted = piece.size();
  if (has_ended_ || is_head_only_) return channel_->note_written(n_counted);
  if (!is_chunked_) return push(std::move(piece), n_counted);
  std::array<char, 20> size{};
  std::snprintf(size.data(), size.size(), "%zx\r\n", n_counted);
  push(size.data() + piece.append("\r\n"), n_counted);
}

void Connection::end_stream() {
  if (has_ended_) return;
  has_ended_ = true;
  if (is_chunked_ && !is_head_only_) push("0\r\n\r\n");
}

void Connection::push(std::string bytes, size_t n_counted) {
  if (state_ == State::kClosed || bytes.empty()) return;
  out_.push_back({std::move(bytes), n_counted});
}

void Connection::flush() {
  if (is_writing_ || state_ == State::kClosed) return;
  if (out_.empty()) {
    if (has_ended_) after_answer();
    return;
  }
  std::vector<asio::const_buffer> buffers;
  for (const Piece& piece : out_) {
    buffers.push_back(asio::buffer(piece.bytes));
    if (buffers.size() == kMaxBuffers) break;
  }
  buffers[0] += n_first_written_;
  is_writing_ = true;
  if (n_backlog_written_ == 0) backlog_since_ = Clock::now();
  if (state_ == State::kAnswering) {
    const HttpOptions& o = host_.options;
    // So much for the slow; who takes nothing at all has write_timeout.
    const auto slowest = backlog_since_ + o.write_timeout + time_for(n_backlog_written_, o.min_bytes_per_s);
    set_deadline(std::min(slowest, Clock::now() + o.write_timeout));
  }
  transport_->write_some(buffers,
                         guarded([this](const error_code& error, size_t n) { on_written(error, n); }));
}

void Connection::on_written(const error_code& error, size_t n_bytes) {
  is_writing_ = false;
  if (state_ == State::kClosed) return;
  if (error) return close();
  n_backlog_written_ += n_bytes;
  n_first_written_ += n_bytes;
  size_t n_counted = 0;
  while (!out_.empty() && n_first_written_ >= out_.front().bytes.size()) {
    n_first_written_ -= out_.front().bytes.size();
    n_counted += out_.front().n_counted;
    out_.pop_front();
  }
  if (channel_ && n_counted > 0) channel_->note_written(n_counted);
  if (out_.empty()) {
    n_backlog_written_ = 0;
    if (state_ == State::kAnswering) set_deadline(Clock::time_point::max());
  }
  flush();
}

void Connection::after_answer() {
  if (channel_) std::exchange(channel_, nullptr)->close();
  has_ended_ = is_chunked_ = is_head_only_ = false;
  head_.reset();
  if (!keeps_alive_ || host_.is_stopping) return linger();
  begin_head();
}

// A connection that is closed while something unread arrives is reset, and the client may lose the answer: so
// what it is still sending is read for a little while.
void Connection::linger() {
  if (has_read_end_) return close();
  state_ = State::kLingering;
  in_.clear();
  since_ = Clock::now();
  set_deadline(since_ + host_.options.linger_timeout);
  transport_->shutdown_send([self = shared_from_this()] {});
  read();
}

// --- Ends
// --------------------------------------------------------------------------------------------------------------

void Connection::close() {
  if (state_ == State::kClosed) return;
  const auto self = shared_from_this();
  const bool is_unfinished = state_ == State::kAnswering && !has_ended_;
  state_ = State::kClosed;
  drop_body();
  timer_.cancel();
  transport_->close();
  if (const auto channel = std::exchange(channel_, nullptr)) {
    channel->close();
    if (is_unfinished) channel->request_stop();
  }
  host_.on_closed(*this);
}

void Connection::close_if_idle() {
  if (state_ == State::kHead && !has_started_) close();
}

void Connection::request_stop() {
  if (state_ == State::kHandshake || state_ == State::kHead || state_ == State::kBody) return close();
  if (const auto channel = channel_) channel->request_stop();
}

std::optional<Connection::Clock::time_point> Connection::spare_since() const {
  const auto fast_enough = kSpareAfter + time_for(n_body_bytes_, kSpareRate * host_.options.min_bytes_per_s);
  if (state_ == State::kBody && Clock::now() - since_ < fast_enough) return std::nullopt;
  if (state_ == State::kAnswering || state_ == State::kClosed) return std::nullopt;
  return since_;
}

// The timer is left alone when a deadline moves away, which it does with every request.
void Connection::set_deadline(Clock::time_point deadline) {
  deadline_ = deadline;
  if (deadline < timer_at_) wait_for_deadline();
}

void Connection::wait_for_deadline() {
  timer_at_ = deadline_;
  if (deadline_ == Clock::time_point::max()) return;
  timer_.expires_at(deadline_);
  timer_.async_wait(guarded([this](const error_code& error) {
    if (error || state_ == State::kClosed) return;
    if (Clock::now() >= deadline_) {
      timer_at_ = Clock::time_point::max();
      return on_deadline();
    }
    wait_for_deadline();
  }));
}

void Connection::on_deadline() {
  const bool has_begun = (state_ == State::kHead && has_started_) || state_ == State::kBody;
  if (!has_begun) return close();
  refuse({408, "The request took too long to arrive."});
}

}  // namespace lazyfill::server
