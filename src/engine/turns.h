// The scheduler without its thread: what is computed when. docs/scheduling.md tells it in words.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/prefill.h"
#include "engine/prefix_folder.h"
#include "engine/scheduled.h"

namespace lazyfill {

class Turns {
 public:
  // options.kv_memory_bytes is the bound.
  Turns(std::shared_ptr<Executor::Impl> executor, const SchedulerOptions& options,
        std::optional<PrefixFolder> folder);

  // Queues a request, which submit() has checked.
  void arrive(std::unique_ptr<Scheduled> request);
  // One turn: ends what was stopped, admits what there is room for, makes one decode step of all that are
  // being answered, and gives the rest of the turn to a prefill. False: there is nothing to do.
  bool turn();
  // Any thread: a prefill is put aside at its next block, so that the next turn begins. listen() is called
  // before one looks at what has come since, so that no call is missed.
  void interrupt() { interrupted_.store(true, std::memory_order_relaxed); }
  void listen() { interrupted_.store(false, std::memory_order_relaxed); }
  void end_all(const Error& error);
  // What is kept goes to the state folder.
  void save_all();

  // Any thread; false: whoever arrives now waits for somebody's end, whatever the turn does.
  bool has_room() const { return has_room_.load(std::memory_order_relaxed); }
  size_t n_waiting() const { return n_waiting_.load(std::memory_order_relaxed); }
  SchedulerStatus status() const;
  std::vector<std::string> notes() const { return folder_ ? folder_->notes() : std::vector<std::string>(); }

 private:
  using Clock = std::chrono::steady_clock;

  void end_stopped();
  void admit();
  void start(Scheduled& request);
  // --- what requests leave to each other (turns_prefix.cc) ---
  void find_plan(Scheduled& request) const;
  PrefixStore::Question question_of(const Scheduled& request) const;
  void fill(Scheduled& request);
  // Whether it waits until another one has computed what both begin with.
  bool joins_another(Scheduled& request);
  const Scheduled* best_to_join(const Scheduled& request, double& work_left) const;
  double work_saved_by(const Scheduled& other, const PrefixStore::Question& question) const;
  bool is_awaited(const Scheduled& request) const;
  void keep(const Scheduled& request);
  // What is kept makes room for what is reserved.
  void keep_bound();
  void save(const StoredSequence& sequence);
  // ---

  void decode();
  void begin_prefills();
  void prefill();
  void finish(Prefill& prefill);
  void release(Prefill& prefill);
  // What a step made of a request; it has another token to compute where it is not ended.
  void take(Scheduled& request, SequenceStep& step);
  void end(Scheduled& request, Result<Generation> result);
  // What it reserved is free again.
  void let_go(std::unique_ptr<Scheduled> request);
  void let_go_of_ended(std::vector<std::unique_ptr<Scheduled>>& requests);
  size_t n_prefilling() const;

  const std::shared_ptr<Executor::Impl> executor_;
  const Model& model_;
  const SchedulerOptions options_;
  std::vector<std::unique_ptr<Scheduled>> waiting_;  // in the queue: the order of admission
  std::vector<std::unique_ptr<Scheduled>> ready_;    // admitted, prompts not begun
  std::vector<std::unique_ptr<Prefill>> prefills_;   // begun
  std::vector<std::unique_ptr<Scheduled>> running_;  // being answered, each with a token to compute
  PrefixStore store_;
  std::optional<PrefixFolder> folder_;
  size_t n_overtaken_ = 0;  // turns, since the oldest prompt had one
  double block_ms_ = 0;     // what the blocks of rows took of late
  uint64_t n_arrived_ = 0;
  std::atomic<bool> interrupted_{false};
  std::atomic<bool> has_room_{true};
  std::atomic<size_t> n_waiting_{0};
  SchedulerStatus totals_;
};

}  // namespace lazyfill
