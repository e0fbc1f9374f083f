// One request that is being answered, as the thread that waits for it sees it. The engine's threads only put
// things into it, and never need the interpreter's lock; so nothing of Python can hold them up, nor they
// Python.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "lazyfill/engine.h"
#include "lazyfill/scheduler.h"
#include "python/this_process.h"

namespace lazyfill::python {

struct Piece {
  int32_t token = 0;
  std::string text;  // that became complete with it
};

// An answer, with the time of each token [n] in milliseconds after the call.
struct Answered {
  Generation generation;
  std::vector<double> token_ms;
};

// The box between them; it lives as long as either side needs it.
class Mailbox {
 public:
  ~Mailbox();

  // --- the engine's side ---
  void put(int32_t token, std::string_view text);
  void put(const Progress& progress);
  void end(Result<Generation> result);

  // --- the other side ---
  // Until there is something new: a piece or the end, and progress where that is watched. With `only_end`
  // pieces do not count. False: the time is over.
  bool wait_for(std::chrono::milliseconds time, bool only_end);
  void wait_for_end();
  std::vector<Piece> take();
  std::optional<Progress> take_progress();
  bool has_ended() const;
  Result<std::shared_ptr<Answered>> result() const;  // after the end
  // A file descriptor that can be read when there is something new, for event loops; -1: there is none to be
  // had.
  int descriptor();
  void clear_descriptor();  // before take()

  bool watches_progress = false;  // set before the request is made

 private:
  void tell(bool is_piece);  // the mutex is held

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Piece> pieces_;
  std::optional<Progress> progress_;
  std::optional<Result<std::shared_ptr<Answered>>> result_;
  std::vector<double> token_ms_;
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  bool waits_for_end_ = false;  // who waits need not wake at every token
  int descriptor_ = -1;
};

// Stops the request when nobody holds it any more.
class Ticket {
 public:
  explicit Ticket(bool watches_progress);
  ~Ticket();
  Ticket(const Ticket&) = delete;
  Ticket& operator=(const Ticket&) = delete;

  Mailbox& box() { return *box_; }
  void cancel();

  // Answered by the scheduler, which several requests share.
  Result<void> ask(Scheduler& scheduler, Request request);
  // Answered by a session of its own, in a thread of its own: policies that cannot be scheduled.
  Result<void> ask(const Executor& executor, size_t context_tokens, Request request);

 private:
  Callbacks callbacks();

  std::shared_ptr<Mailbox> box_;
  OfThisProcess<std::stop_source> stop_{std::stop_source()};
  OfThisProcess<std::jthread> thread_;
};

}  // namespace lazyfill::python
