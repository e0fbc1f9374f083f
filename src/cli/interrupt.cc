#include "cli/interrupt.h"

#include <pthread.h>
#include <signal.h>
#include <termios.h>
#include <unistd.h>

#include <atomic>
#include <mutex>
#include <system_error>
#include <thread>

#include "cli/terminal.h"

namespace lazyfill::cli {

struct Interrupt::State {
  mutable std::mutex mutex;
  std::stop_source source;
  std::atomic<bool> at_once{true};
  termios terminal{};  // as it was found
  bool has_terminal = tcgetattr(STDIN_FILENO, &terminal) == 0;
  std::jthread watcher;

  static sigset_t signals() {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    return set;
  }

  // A line that was being edited leaves a terminal that shows nothing of what is typed.
  void restore_terminal() const {
    termios now{};
    if (!has_terminal || tcgetattr(STDIN_FILENO, &now) != 0 || now.c_lflag == terminal.c_lflag) return;
    tcsetattr(STDIN_FILENO, TCSANOW, &terminal);
    if (!knows_escapes(Stream::kError)) return;
    constexpr char kPasteOff[] = "\033[?2004l\n";
    [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, kPasteOff, sizeof kPasteOff - 1);
  }

  // The default action, so that a shell sees a program that was ended by the signal.
  void end_program() const {
    restore_terminal();
    signal(SIGINT, SIG_DFL);
    const sigset_t set = signals();
    pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
    raise(SIGINT);
  }

  void watch(const std::stop_token& quit) {
    const sigset_t set = signals();
    while (true) {
      int received = 0;
      if (sigwait(&set, &received) != 0 || quit.stop_requested()) return;
      std::lock_guard lock(mutex);
      if (at_once || source.stop_requested()) end_program();
      source.request_stop();
    }
  }
};

Interrupt::Interrupt() : state_(std::make_unique<State>()) {
  const sigset_t set = State::signals();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  try {
    state_->watcher =
        std::jthread([state = state_.get()](const std::stop_token& quit) { state->watch(quit); });
  } catch (const std::system_error&) {
    // No thread to be had: the signal ends the program, as it does others.
    pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
  }
}

Interrupt::~Interrupt() {
  if (!state_->watcher.joinable()) return;
  state_->watcher.request_stop();
  pthread_kill(state_->watcher.native_handle(), SIGINT);  // only to wake it
  state_->watcher.join();
}

std::stop_token Interrupt::token() const {
  std::lock_guard lock(state_->mutex);
  state_->at_once = false;
  return state_->source.get_token();
}

bool Interrupt::fired() const {
  std::lock_guard lock(state_->mutex);
  return state_->source.stop_requested();
}

void Interrupt::reset() {
  std::lock_guard lock(state_->mutex);
  state_->source = std::stop_source();
}

void Interrupt::end_program_at_once(bool at_once) {
  state_->at_once = at_once;
}

}  // namespace lazyfill::cli
