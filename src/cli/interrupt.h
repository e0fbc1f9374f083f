// Ctrl-C: the first one asks the work to stop at the next block of rows, the second one ends the program.
// Before there is any work that could stop, while a model is read, the first one ends it.
#pragma once

#include <memory>
#include <stop_token>

namespace lazyfill::cli {

// Create it before any other thread: threads inherit that the signal is blocked, so that it arrives only in
// the thread that waits for it here, and no handler with a global is needed.
class Interrupt {
 public:
  Interrupt();
  ~Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  std::stop_token token() const;  // whoever has one is asked to stop
  bool fired() const;
  // Ready for another Ctrl-C; tokens handed out before stay stopped.
  void reset();
  // Between answers of a conversation Ctrl-C should end the program at once.
  void end_program_at_once(bool at_once);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace lazyfill::cli
