// Between the threads that answer and the one that serves connections.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <stop_token>
#include <vector>

#include "server/http/http.h"

namespace lazyfill::server {

class Connection;

// One request's way back to its connection. Replies put down what is to happen, in order; the connection
// takes it.
class Channel : public std::enable_shared_from_this<Channel> {
 public:
  using Step = std::function<void(Connection&)>;

  Channel(std::shared_ptr<Connection> connection, size_t max_waiting_bytes);

  // For replies, on any thread. False: nobody listens any more.
  bool put(Step step);
  bool put_piece(std::string piece);
  std::stop_token gone() const { return stop_.get_token(); }

  // For the connection, on its thread.
  std::vector<Step> take();
  void note_written(size_t n_bytes);  // of pieces
  void note_gone();  // the client, who may still read: pieces are refused, whole answers are not
  void request_stop() { stop_.request_stop(); }
  void close();  // nobody listens; breaks the ring of pointers

 private:
  bool put_locked(Step step);

  std::mutex mutex_;
  std::shared_ptr<Connection> connection_;
  std::vector<Step> steps_;
  const size_t max_waiting_bytes_;
  size_t n_waiting_bytes_ = 0;
  bool refuses_pieces_ = false;
  std::stop_source stop_;
};

std::shared_ptr<Reply> make_reply(std::shared_ptr<Channel> channel);
// As if the reply had been dropped.
void abandon(Reply& reply);

}  // namespace lazyfill::server
