// Many lines of --jsonl at a time, by the scheduler.
#pragma once

#include <condition_variable>
#include <deque>
#include <mutex>

#include "cli/lines.h"
#include "lazyfill/scheduler.h"

namespace lazyfill::cli {

class Batch {
 public:
  Batch(Runner& runner, const RunFlags& flags, LineReader& reader, LineWriter& writer)
      : runner_(runner), flags_(flags), reader_(reader), writer_(writer) {}

  // Answers all lines; their records come in the order of the lines. An error ends the run.
  Result<void> run(Scheduler& scheduler);

 private:
  // A line on its way; it does not move.
  struct Slot {
    Line line;
    std::optional<Request> request;  // to be submitted
    bool is_alone = false;           // answered without the scheduler, when its record is due
    std::optional<LineAnswers> answers;
  };

  Slot prepared(Line line);
  Result<void> run_packed(Scheduler& scheduler);
  Result<void> run_padded(Scheduler& scheduler);
  void give(Slot& slot, Request& request);
  Result<void> write_first();
  Result<void> write_all();

  Runner& runner_;
  const RunFlags& flags_;
  LineReader& reader_;
  LineWriter& writer_;
  std::deque<Slot> slots_;  // in the order of the lines
  std::mutex mutex_;        // of the answers
  std::condition_variable changed_;
};

}  // namespace lazyfill::cli
