#include "server/http/channel.h"

#include <boost/asio/post.hpp>

#include "server/http/connection.h"

namespace lazyfill::server {
namespace {

class ChannelReply final : public Reply {
 public:
  explicit ChannelReply(std::shared_ptr<Channel> channel) : channel_(std::move(channel)) {}
  ~ChannelReply() override { drop(); }

  void send(HttpResponse response) override {
    std::lock_guard lock(mutex_);
    if (state_ != State::kUnanswered) return;
    state_ = State::kEnded;
    channel_->put([response = std::move(response)](Connection& c) mutable { c.answer(std::move(response)); });
  }
  void begin_stream(int status, std::string content_type, std::vector<Header> headers) override {
    std::lock_guard lock(mutex_);
    if (state_ != State::kUnanswered) return;
    state_ = State::kStreaming;
    HttpResponse head{status, std::move(content_type), {}, std::move(headers)};
    channel_->put([head = std::move(head)](Connection& c) mutable { c.begin_stream(std::move(head)); });
  }
  bool write(std::string piece) override {
    std::lock_guard lock(mutex_);
    return state_ == State::kStreaming && channel_->put_piece(std::move(piece));
  }
  void end() override {
    std::lock_guard lock(mutex_);
    if (state_ != State::kStreaming) return;
    state_ = State::kEnded;
    channel_->put([](Connection& c) { c.end_stream(); });
  }
  std::stop_token gone() const override { return channel_->gone(); }

  void drop() {
    std::lock_guard lock(mutex_);
    if (state_ == State::kUnanswered) {
      channel_->put([](Connection& c) {
        c.answer(to_response({500, "The server could not answer the request."}));
      });
    } else if (state_ == State::kStreaming) {
      channel_->put([](Connection& c) { c.close(); });
    }
    state_ = State::kEnded;
  }

 private:
  enum class State { kUnanswered, kStreaming, kEnded };
  std::mutex mutex_;
  State state_ = State::kUnanswered;
  const std::shared_ptr<Channel> channel_;
};

}  // namespace

Channel::Channel(std::shared_ptr<Connection> connection, size_t max_waiting_bytes)
    : connection_(std::move(connection)), max_waiting_bytes_(max_waiting_bytes) {}

bool Channel::put(Step step) {
  std::lock_guard lock(mutex_);
  return put_locked(std::move(step));
}

// The lock is held while the step is posted, so that the server cannot end in between: it waits for
// connections, and they close their channel first. One list keeps the order of steps from several threads,
// which posts do not.
bool Channel::put_locked(Step step) {
  if (!connection_) return false;
  steps_.push_back(std::move(step));
  if (steps_.size() == 1) {
    boost::asio::post(connection_->executor(), [connection = connection_, self = shared_from_this()] {
      connection->take_steps(self);
    });
  }
  return true;
}

bool Channel::put_piece(std::string piece) {
  std::lock_guard lock(mutex_);
  if (!connection_ || refuses_pieces_) return false;
  if (piece.empty()) return true;
  if (piece.size() > max_waiting_bytes_ - n_waiting_bytes_) {
    refuses_pieces_ = true;
    put_locked([](Connection& c) { c.close(); });
    return false;
  }
  n_waiting_bytes_ += piece.size();
  return put_locked([piece = std::move(piece)](Connection& c) mutable { c.write(std::move(piece)); });
}

std::vector<Channel::Step> Channel::take() {
  std::lock_guard lock(mutex_);
  return std::exchange(steps_, {});
}

void Channel::note_written(size_t n_bytes) {
  std::lock_guard lock(mutex_);
  n_waiting_bytes_ -= n_bytes;
}

void Channel::note_gone() {
  {
    std::lock_guard lock(mutex_);
    refuses_pieces_ = true;
  }
  stop_.request_stop();
}

void Channel::close() {
  std::vector<Step> steps;  // ended outside of the lock: they own what callers gave them
  std::shared_ptr<Connection> connection;
  std::lock_guard lock(mutex_);
  steps.swap(steps_);
  connection.swap(connection_);
}

std::shared_ptr<Reply> make_reply(std::shared_ptr<Channel> channel) {
  return std::make_shared<ChannelReply>(std::move(channel));
}

void abandon(Reply& reply) {
  static_cast<ChannelReply&>(reply).drop();
}

}  // namespace lazyfill::server
