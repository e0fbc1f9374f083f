// What a person at a terminal sees beside the results: colours, the progress bar, messages. All of it goes to
// standard error, colours and the bar only when that is a terminal which knows them.
#pragma once

#include <chrono>
#include <cstdint>
#include <stop_token>
#include <string>
#include <string_view>

#include "lazyfill/engine.h"
#include "lazyfill/error.h"
#include "lazyfill/types.h"

namespace lazyfill::cli {

enum class Stream { kInput = 0, kOutput = 1, kError = 2 };
bool is_terminal(Stream stream);
// A terminal that knows escape codes: TERM is not "dumb".
bool knows_escapes(Stream stream);
// The same, and NO_COLOR is not set.
bool wants_colour(Stream stream);
size_t terminal_columns();

class Terminal {
 public:
  explicit Terminal(bool quiet);

  // A line for information; nothing when quiet. Dim on a terminal.
  void note(std::string_view line) const;
  void warn(std::string_view line) const;  // also when quiet
  bool shows_progress() const { return shows_progress_; }

 private:
  bool quiet_;
  bool shows_progress_;
  bool colour_;
};

// Prints the sentence; returns the exit code of a failure.
int report_failure(std::string_view command, const Error& error);

// One line that is drawn over and over, at most ten times a second, and removed at the end.
class ProgressBar {
 public:
  ProgressBar(const Terminal& terminal, std::string label);
  ~ProgressBar() { clear(); }
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  void update(const Progress& progress);
  void clear();

 private:
  using Clock = std::chrono::steady_clock;
  bool enabled_;
  std::string label_;
  Clock::time_point start_ = Clock::now();
  Clock::time_point last_draw_{};
  bool drawn_ = false;
};

// What a generation tells a person who watches it: its progress in `bar`, which must outlive it, and with
// `stream` the text on standard output as it comes. `stop` ends it.
Callbacks watched(ProgressBar& bar, std::stop_token stop, bool stream);

// Exposed for tests: the line for `progress`, at most `columns` wide.
std::string progress_line(std::string_view label, const Progress& progress, double elapsed_ms,
                          size_t columns);

}  // namespace lazyfill::cli
